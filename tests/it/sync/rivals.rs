//! Several towns and tools with one folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use gastown_core::interchange::Dialect;
use gastown_core::model::Timestamp;
use gastown_core::{
    AddComment, Archive, BeadPatch, CloseBead, DeleteBead, ExportBeads, Link, NewBead, Patch, ReopenBead,
};
use serde_json::{Value as Json, json};

use super::{START, Side, id, issue, patch, said};
use crate::history::{asked, draw};

/// One change of a town by whoever works there.
async fn change(side: &Side, random: &mut u64, known: &mut Vec<String>, name: &str, n: usize) {
    side.clock.advance(Duration::from_secs(1));
    let beads = side.town.operator().beads();
    let word = format!("{name}{n}");
    if known.is_empty() || draw(random, 6) == 0 {
        let id = format!("hq-{}", 100 + draw(random, 40));
        let new = NewBead {
            id: Some(self::id(&id)),
            replaces_deleted: true,
            labels: vec![word.clone()],
            ..NewBead::titled(word)
        };
        if beads.create(new).await.is_ok() {
            known.push(id);
        }
        return;
    }
    let of = known[draw(random, known.len())].clone();
    let other = known[draw(random, known.len())].clone();
    // Some are refused: the bead is gone, or stands otherwise.
    let _ = match draw(random, 9) {
        0 => beads.update(BeadPatch { title: Patch::Set(word), ..patch(&of) }).await.map(drop),
        1 => beads
            .update(BeadPatch { priority: Patch::Set(u32::try_from(draw(random, 5)).unwrap()), ..patch(&of) })
            .await
            .map(drop),
        2 => beads.update(BeadPatch { append_notes: Some(word), ..patch(&of) }).await.map(drop),
        3 => beads
            .update(BeadPatch { description: Patch::Set(word), metadata: Patch::Set(json!({ name: n })), ..patch(&of) })
            .await
            .map(drop),
        4 => beads.close(CloseBead { force: true, reason: Some(word), ..CloseBead::from(&id(&of)) }).await.map(drop),
        5 => beads.reopen(ReopenBead::from(&id(&of))).await.map(drop),
        6 => beads.comment(AddComment::new(id(&of), word)).await.map(drop),
        7 => beads.delete(DeleteBead::from(&id(&of))).await.map(drop),
        _ => beads.link(Link::blocks(id(&of), id(&other))).await.map(drop),
    };
}

/// One change of the file by another tool.
fn edit(side: &Side, random: &mut u64, n: usize) {
    let Ok(text) = fs::read_to_string(side.file()) else { return };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return;
    }
    let at = draw(random, lines.len());
    let second = START / 1_000_000 + i64::try_from(n).unwrap();
    let now = Timestamp::from_micros(second * 1_000_000).to_string();
    match draw(random, 4) {
        0 => drop(lines.remove(at)),
        1 => {
            let id = format!("hq-{}", 100 + draw(random, 40));
            let taken = lines.iter().any(|line| serde_json::from_str::<Json>(line).unwrap()["id"] == id);
            let new = issue(&id, &json!({ "title": format!("file{n}"), "updated_at": now }));
            if !taken {
                lines.push(new.trim_end().to_owned());
            }
        }
        _ => {
            let mut line: Json = serde_json::from_str(&lines[at]).unwrap();
            line["updated_at"] = json!(now);
            if draw(random, 2) == 0 {
                line["title"] = json!(format!("file{n}"));
            } else {
                line["labels"] = json!([format!("f{}", draw(random, 3))]);
            }
            lines[at] = line.to_string();
        }
    }
    fs::write(side.file(), lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>()).unwrap();
}

/// What a town says of its beads, and a file of its issues, as far as it is the same for everybody.
async fn records(side: &Side, dir: &Path) -> BTreeMap<String, Json> {
    let out = dir.join("records.jsonl");
    let export = ExportBeads { dialect: Dialect::Br, replace: true, ..ExportBeads::from(out.as_path()) };
    side.town.operator().beads().export_to(export).await.unwrap();
    said(&fs::read_to_string(out).unwrap())
}

#[tokio::test]
async fn towns_that_sync_with_one_folder_in_turns_come_to_be_equal() {
    let seeds = asked("GASTOWN_SEED").map_or(1..=12, |seed| seed..=seed);
    for seed in seeds {
        let dir = tempfile::tempdir().unwrap();
        let mut random = seed;
        let sides = [Side::new(dir.path(), "one").await, Side::new(dir.path(), "two").await];
        fs::write(sides[0].file(), if seed % 2 == 0 { issue("hq-100", &json!({})) } else { String::new() }).unwrap();
        let mut known = vec!["hq-100".to_owned()];
        for n in 0..60 {
            match draw(&mut random, 8) {
                which @ 0..=1 => drop(sides[which].sync_as_meant().await),
                which @ 2..=5 => change(&sides[which % 2], &mut random, &mut known, ["a", "b"][which % 2], n).await,
                _ => edit(&sides[0], &mut random, n),
            }
        }
        for side in sides.iter().chain(&sides).chain(&sides) {
            side.sync_as_meant().await;
        }
        for side in &sides {
            side.is_at_rest().await;
        }
        let file = said(&sides[0].text());
        for (name, side) in ["one", "two"].iter().zip(&sides) {
            let town = records(side, dir.path()).await;
            assert_eq!(town, file, "seed {seed}, town {name}");
        }
        let [one, two] = sides;
        one.ends().await;
        two.ends().await;
    }
}

/// Somebody writes the file while it is synced: each of the two finds what the other wrote.
#[tokio::test(flavor = "multi_thread")]
async fn syncs_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sides = [Side::new(dir.path(), "one").await, Side::new(dir.path(), "two").await];
    for (n, side) in sides.iter().enumerate() {
        for bead in 0..30 {
            let new = NewBead { id: Some(id(&format!("hq-{n}{bead:02}"))), ..NewBead::titled("both") };
            side.town.operator().beads().create(new).await.unwrap();
        }
    }
    let once = |side: &Side| {
        let (beads, folder) = (side.town.operator().beads(), side.folder.clone());
        async move { beads.sync(folder.as_path()).await }
    };
    let (left, right) = tokio::join!(once(&sides[0]), once(&sides[1]));
    assert!(left.is_ok() && right.is_ok(), "{left:?} {right:?}");
    for side in [&sides[0], &sides[1], &sides[0]] {
        side.sync().await;
    }
    assert_eq!(sides[0].text().lines().count(), 60);
    for side in sides {
        side.is_at_rest().await;
        side.ends().await;
    }
}

/// However the syncs of several towns fall, what one of them wrote is taken by no other for a deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn many_towns_that_sync_at_once_delete_nothing_that_nobody_deleted() {
    const TOWNS: usize = 6;
    const BEADS: usize = 12;
    let dir = tempfile::tempdir().unwrap();
    let mut sides = Vec::new();
    for n in 0..TOWNS {
        sides.push(Side::new(dir.path(), &format!("town{n}")).await);
    }
    let works: Vec<_> = sides
        .iter()
        .enumerate()
        .map(|(n, side)| {
            let (beads, folder) = (side.town.operator().beads(), side.folder.clone());
            tokio::spawn(async move {
                for bead in 0..BEADS {
                    let new = NewBead { id: Some(id(&format!("hq-{n}x{bead:02}"))), ..NewBead::titled("of many") };
                    beads.create(new).await.unwrap();
                    let report = beads.sync(folder.as_path()).await.unwrap();
                    assert_eq!((report.deleted, report.lines_removed, report.choices), (0, 0, 0), "{report:?}");
                }
            })
        })
        .collect();
    for work in works {
        work.await.unwrap();
    }
    for side in sides.iter().chain(&sides) {
        side.sync().await;
    }
    assert_eq!(sides[0].text().lines().count(), TOWNS * BEADS);
    for side in sides {
        side.is_at_rest().await;
        side.ends().await;
    }
}

#[tokio::test]
async fn a_bead_that_went_to_an_archive_before_the_next_sync_has_told_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Side::new(dir.path(), "one").await, Side::new(dir.path(), "other").await);
    let beads = one.town.operator().beads();
    let create = |name: &str| beads.create(NewBead { id: Some(id(name)), ..NewBead::titled(name) });
    for name in ["hq-1", "hq-2"] {
        create(name).await.unwrap();
    }
    one.sync().await;
    other.sync().await;
    create("hq-3").await.unwrap();
    let all = ["hq-1", "hq-2", "hq-3"];
    for side in [&one, &other] {
        side.clock.advance(Duration::from_secs(60));
    }
    for name in all {
        beads.close(CloseBead::from(&id(name))).await.unwrap();
    }
    // The other town says something of one that it knows as open.
    other.town.operator().beads().comment(AddComment::new(id("hq-2"), "why?")).await.unwrap();
    other.sync().await;
    one.clock.advance(Duration::from_secs(60));
    let before = Some(Timestamp::from_micros(START + 100_000_000));
    let upkeep = one.town.operator().upkeep();
    let archived = upkeep.archive(Archive { closed_before: before, events_before: None }).await.unwrap();
    assert_eq!(archived.beads, 3);

    one.sync().await;
    assert_eq!(all.map(|name| one.line(name).unwrap()["status"].clone()), ["closed"; 3]);
    assert_eq!(one.line("hq-2").unwrap()["comments"][0]["text"], "why?");
    other.sync().await;
    let there = other.town.operator().beads();
    for name in all {
        assert!(there.get(&id(name)).await.unwrap().status.is_terminal(), "{name}");
    }
    let here = beads.get(&id("hq-1")).await;
    assert_eq!(here.unwrap_err().code(), "bead_missing", "it stays in the archive");
    for side in [&one, &other, &one] {
        side.sync().await;
        side.is_at_rest().await;
    }

    // What is deleted elsewhere since is not told again.
    there.delete(&id("hq-3")).await.unwrap();
    other.sync().await;
    one.sync().await;
    one.is_at_rest().await;
    assert!(one.line("hq-3").is_none());
    one.ends().await;
    other.ends().await;
}
