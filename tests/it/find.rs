//! Finding beads in a town on disk: by words and queries, as they were, and who reserved what.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::{BeadId, Timestamp};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    AddRig, All, Archive, Bead, BeadPatch, BeadQuery, BeadSearch, BeadsAt, EventsSince, HistoryOf, ManualClock,
    NewBead, OverlapQuery, Patch, ReservationFilter, Reserve, StaleBeads, Town, Unreserve,
};

use crate::support::origin;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_763_670_000_000_000))
}

async fn plain(dir: &Path, clock: &ManualClock) -> Town {
    Town::builder(dir).clock(Arc::new(clock.clone())).seed(7).open().await.unwrap()
}

async fn found(town: &Town, text: &str) -> Vec<String> {
    let (mut input, mut titles) = (BeadSearch { limit: Some(7), ..BeadSearch::from(text) }, Vec::new());
    loop {
        let page = town.operator().beads().search(input.clone()).await.unwrap();
        titles.extend(page.beads.into_iter().map(|bead| bead.title));
        input.cursor = page.cursor;
        if input.cursor.is_none() {
            return titles;
        }
    }
}

/// Makes beads, changes some and deletes nothing; the same for every backend.
async fn furnish(town: &Town, clock: &ManualClock) {
    let beads = town.operator().beads();
    let mut made: Vec<Bead> = Vec::new();
    for n in 0..300 {
        clock.advance(Duration::from_secs(1));
        let description = if n % 50 == 0 { "needle of süß straw" } else { "straw" }.to_owned();
        made.push(beads.create(NewBead { description, ..NewBead::titled(format!("Hay {n}")) }).await.unwrap());
    }
    for n in [10, 290] {
        let title = Patch::Set(format!("Needle {n}"));
        beads.update(BeadPatch { title, ..BeadPatch::of(made[n].id.clone()) }).await.unwrap();
    }
    let notes = Patch::Set("no needles any more".to_owned());
    beads.update(BeadPatch { description: Patch::Clear, notes, ..BeadPatch::of(made[250].id.clone()) }).await.unwrap();
}

const WANTED: [&str; 7] = ["Needle 290", "Needle 10", "Hay 200", "Hay 150", "Hay 100", "Hay 50", "Hay 0"];

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_the_same_on_disk_in_memory_in_a_copy_and_after_a_vacuum() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let memory = Town::builder(folder.path().join("memory"))
        .clock(Arc::new(clock.clone()))
        .backend(Arc::new(MemoryBackend::new()))
        .open()
        .await
        .unwrap();
    let disk = plain(&folder.path().join("disk"), &clock).await;
    for town in [&memory, &disk] {
        furnish(town, &clock).await;
        assert_eq!(found(town, "needle").await, WANTED);
        assert_eq!(found(town, "süß needle*").await.len(), 5);
        assert_eq!(found(town, "straw").await.len(), 299);
        assert_eq!(found(town, "NEEDLE -hay").await, WANTED[..2]);
    }
    let upkeep = disk.operator().upkeep();
    upkeep.vacuum(All {}).await.unwrap();
    assert_eq!(found(&disk, "needle").await, WANTED);
    assert_eq!(upkeep.check(All {}).await.unwrap().findings, []);
    let copy = folder.path().join("copy");
    upkeep.backup(copy.as_path()).await.unwrap();
    disk.close().await.unwrap();
    let again = plain(&folder.path().join("disk"), &clock).await;
    let restored = Town::builder(folder.path().join("restored")).restore(&copy).await.unwrap();
    for town in [again, restored, memory] {
        assert_eq!(found(&town, "needle").await, WANTED);
        let page = town.operator().beads().query("title = needle or notes = needles").await.unwrap();
        assert_eq!(page.beads.len(), 3);
        town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beads_are_read_as_they_were_at_every_entry_also_of_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&folder.path().join("town"), &clock).await;
    let handle = town.operator();
    let beads = handle.beads();
    let head = async || handle.events().since(EventsSince { since: 0, limit: Some(1) }).await.unwrap().head;
    let whole = async || {
        let mut all = Vec::new();
        for bead in beads
            .query(BeadQuery { sort: Some(gastown_core::QuerySort::Id), ..BeadQuery::from("kind = issue") })
            .await
            .unwrap()
            .beads
        {
            all.push(beads.get(&bead.id).await.unwrap());
        }
        all
    };
    let mut moments: Vec<(u64, Vec<Bead>)> = Vec::new();
    let mut ids: Vec<BeadId> = Vec::new();
    for n in 0..12 {
        clock.advance(DAY);
        match n % 4 {
            0 | 1 => {
                let description = format!("text {n}");
                let labels = vec![format!("label{n}")];
                let new = NewBead { description, labels, ..NewBead::titled(format!("Bead {n}")) };
                ids.push(beads.create(new).await.unwrap().id);
            }
            2 => {
                let patch = BeadPatch {
                    priority: Patch::Set(0),
                    notes: Patch::Set(format!("note {n}")),
                    ..BeadPatch::of(ids[0].clone())
                };
                beads.update(patch).await.unwrap();
            }
            _ => drop(beads.close(&ids[n / 4]).await.unwrap()),
        }
        moments.push((head().await, whole().await));
    }
    let same = async || {
        for (seq, wanted) in &moments {
            let (mut input, mut found) = (BeadsAt { seq: *seq, limit: Some(2), ..BeadsAt::default() }, Vec::new());
            loop {
                let page = beads.at(input.clone()).await.unwrap();
                found.extend(page.beads);
                input.cursor = page.cursor;
                if input.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, *wanted, "at {seq}");
            let one = beads.at(BeadsAt { seq: *seq, id: Some(ids[0].clone()), ..BeadsAt::default() }).await.unwrap();
            assert_eq!(one.beads, wanted.iter().filter(|bead| bead.id == ids[0]).cloned().collect::<Vec<_>>());
        }
    };
    same().await;
    let closed = BeadsAt { seq: moments[11].0, query: Some("status = closed".into()), ..BeadsAt::default() };
    assert_eq!(beads.at(closed.clone()).await.unwrap().beads.len(), 3);
    let before = beads.history(&ids[0]).await.unwrap();
    assert_eq!(before.missing_before, None);
    let kinds: Vec<_> = before.entries.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["bead.created", "bead.updated", "bead.closed", "bead.updated", "bead.updated"]);
    let told: Vec<_> = before.entries[1].changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(told, ["notes", "priority"]);

    let through = moments[6].1.iter().map(|bead| bead.updated_at).max().unwrap();
    let archived =
        handle.upkeep().archive(Archive { events_before: Some(through), ..Archive::default() }).await.unwrap();
    assert!(archived.events > 5);
    same().await;
    assert_eq!(beads.history(&ids[0]).await.unwrap(), before, "the archive has what the table had");
    let (mut input, mut paged) = (HistoryOf { limit: Some(2), ..HistoryOf::from(&ids[0]) }, Vec::new());
    loop {
        let page = beads.history(input.clone()).await.unwrap();
        paged.extend(page.entries);
        input.cursor = page.cursor;
        if input.cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, before.entries);

    let code = async |seq| beads.at(BeadsAt { seq, ..BeadsAt::default() }).await.unwrap_err().code().to_owned();
    assert_eq!(code(0).await, "seq_beyond_head");
    assert_eq!(code(10_000).await, "seq_beyond_head");
    std::fs::remove_dir_all(folder.path().join("town/archive")).unwrap();
    assert_eq!(code(moments[11].0).await, "archive_missing");
    let rest = beads.history(&ids[0]).await.unwrap();
    assert!(rest.missing_before.is_some() && rest.entries.len() < before.entries.len());
    let stranger = HistoryOf::from(BeadId::new("hq-none").unwrap());
    assert_eq!(beads.history(stranger).await.unwrap_err().code(), "bead_missing");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_are_told_until_they_end_or_their_bead_closes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&folder.path().join("town"), &clock).await;
    let handle = town.operator();
    let rig = handle
        .rigs()
        .add(AddRig::new("harbour".parse().unwrap(), origin(folder.path()).to_str().unwrap()))
        .await
        .unwrap()
        .name;
    let mut ids = Vec::new();
    for title in ["Paint the hull", "Scrub the deck"] {
        ids.push(handle.beads().create(NewBead::titled(title).in_rig(rig.clone())).await.unwrap().id);
    }
    let reservations = handle.reservations();
    let reserve = |bead: &BeadId, pattern: &str, hours: u64| Reserve {
        bead: bead.clone(),
        patterns: vec![pattern.to_owned()],
        ttl_ms: Some(hours * 3_600_000),
    };
    reservations.add(reserve(&ids[0], "hull/**", 1)).await.unwrap();
    reservations.add(reserve(&ids[0], "paint/*", 48)).await.unwrap();
    let who = async |pattern: &str| {
        let asked = OverlapQuery { rig: rig.clone(), patterns: vec![pattern.to_owned()], but: Some(ids[1].clone()) };
        let found = reservations.overlaps(asked).await.unwrap();
        assert!(found.is_complete);
        found.overlaps.into_iter().map(|overlap| overlap.reservation.pattern).collect::<Vec<_>>()
    };
    assert_eq!(who("hull/a/b").await, ["hull/**"]);
    assert_eq!(who("**").await, ["hull/**", "paint/*"], "what ends first comes first");
    assert_eq!(who("sails/").await, [""; 0]);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(who("hull/a/b").await, [""; 0], "its time is over");
    let page =
        reservations.list(ReservationFilter { rig: Some(rig.clone()), ..ReservationFilter::default() }).await.unwrap();
    assert_eq!(page.reservations.len(), 1);
    reservations.add(reserve(&ids[0], "hull/**", 24)).await.unwrap();
    assert_eq!(who("hull/a/b").await, ["hull/**"], "it holds anew");
    let some = Unreserve { bead: ids[0].clone(), patterns: Some(vec!["paint/*".into()]) };
    assert!(reservations.remove(some.clone()).await.unwrap().changed);
    assert!(!reservations.remove(some).await.unwrap().changed);
    assert_eq!(who("**").await, ["hull/**"]);
    handle.beads().close(&ids[0]).await.unwrap();
    assert_eq!(who("**").await, [""; 0]);
    let late = reservations.add(reserve(&ids[0], "hull/**", 1)).await.unwrap_err();
    assert_eq!(late.code(), "bead_over");
    let many = Reserve { bead: ids[1].clone(), patterns: (0..101).map(|n| n.to_string()).collect(), ttl_ms: None };
    assert_eq!(reservations.add(many).await.unwrap_err().code(), "patterns_out_of_range");
    assert_eq!(reservations.add(reserve(&ids[1], "a", 0)).await.unwrap_err().code(), "ttl_out_of_range");
    // Patterns that cost much to look at keep nobody else from an answer.
    let hard = |text: &str| (0..100).map(|n| format!("{}{n}", text.repeat(80))).collect::<Vec<_>>();
    let told = reservations.add(Reserve { bead: ids[1].clone(), patterns: hard("*a"), ttl_ms: None }).await.unwrap();
    assert!(told.is_complete);
    let third = handle.beads().create(NewBead::titled("Third").in_rig(rig.clone())).await.unwrap().id;
    let told = reservations.add(Reserve { bead: third, patterns: hard("*b"), ttl_ms: None }).await.unwrap();
    assert_eq!((told.reservations.len(), told.is_complete), (100, false), "what it reserved holds all the same");
    let homeless = handle.beads().create(NewBead::titled("No rig")).await.unwrap().id;
    assert_eq!(reservations.add(reserve(&homeless, "a", 1)).await.unwrap_err().code(), "bead_without_rig");
    assert_eq!(town.replay().await.unwrap().differences, [""; 0]);
    assert!(
        handle.beads().stale(StaleBeads { days: Some(1), ..StaleBeads::default() }).await.unwrap().beads.is_empty()
    );
    town.close().await.unwrap();
}
