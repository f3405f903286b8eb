//! Where a bead stands, and why, on its way to a file and back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gastown_core::interchange::Dialect;
use gastown_core::model::{BeadId, BeadStatus, DependencyKind, Resolution, Timestamp};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    All, Bead, BeadPatch, CloseBead, ExportBeads, Link, ManualClock, NewBead, ParkBead, Patch, SyncBeads, Town,
};

async fn memory(dir: &Path, name: &str) -> (Town, ManualClock) {
    let clock = ManualClock::at(Timestamp::from_micros(1_900_000_000_000_000));
    let builder = Town::builder(dir.join(name)).backend(Arc::new(MemoryBackend::new()));
    (builder.clock(Arc::new(clock.clone())).from_env().open().await.unwrap(), clock)
}

fn id(text: &str) -> BeadId {
    BeadId::new(text).unwrap()
}

async fn ends(town: Town) {
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
}

/// Beads that ended in every way a caller can ask for, with and without words about it.
async fn ended(town: &Town) -> Vec<Bead> {
    let beads = town.operator().beads();
    let mut ids = Vec::new();
    for resolution in ["completed", "cancelled", "superseded", "duplicate", "abandoned", "skipped"] {
        for reason in [None, Some("nobody asked for it"), Some("done"), Some("Duplicate of hq-9")] {
            let bead = beads.create(NewBead::titled("Lay the keel")).await.unwrap();
            let resolution: Resolution = resolution.parse().unwrap();
            let reason = reason.map(str::to_owned);
            let how = CloseBead { resolution: Some(resolution), reason, ..CloseBead::from(&bead.id) };
            beads.close(how).await.unwrap();
            ids.push(bead.id);
        }
    }
    let mut ended = Vec::new();
    for id in ids {
        ended.push(beads.get(id).await.unwrap());
    }
    ended
}

fn stands(bead: &Bead) -> (BeadStatus, Option<Resolution>, Option<Timestamp>) {
    (bead.status, bead.resolution, bead.closed_at)
}

async fn give(town: &Town, path: PathBuf, dialect: Dialect) -> String {
    let whole = ExportBeads { dialect, replace: true, ..ExportBeads::from(path.as_path()) };
    town.operator().beads().export_to(whole).await.unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_bead_comes_back_from_a_file_as_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (town, _) = memory(dir.path(), "from").await;
    let ended = ended(&town).await;
    for (n, dialect) in [Dialect::Native, Dialect::Bd, Dialect::Br].into_iter().enumerate() {
        let file = dir.path().join(format!("{n}.jsonl"));
        let text = give(&town, file.clone(), dialect).await;
        let (other, _) = memory(dir.path(), &format!("to-{n}")).await;
        other.operator().beads().import_from(file.as_path()).await.unwrap();
        for bead in &ended {
            let back = other.operator().beads().get(bead.id.clone()).await.unwrap();
            assert_eq!(stands(&back), stands(bead), "{dialect:?} {:?}", bead.close_reason);
            if dialect == Dialect::Native {
                assert_eq!(back.close_reason, bead.close_reason);
            }
        }
        if dialect == Dialect::Native {
            assert_eq!(give(&other, dir.path().join("again.jsonl"), dialect).await, text, "the same bytes");
        } else {
            // What these tools know of an end is the words about it.
            let cancelled = ended.iter().find(|bead| bead.resolution == Some(Resolution::Cancelled)).unwrap();
            let line = text.lines().find(|line| line.contains(cancelled.id.as_str())).unwrap();
            assert!(line.contains(r#""close_reason":"cancelled""#), "{line}");
        }
        ends(other).await;
    }
    ends(town).await;
}

#[tokio::test]
async fn a_bead_that_was_set_aside_comes_back_with_why_and_until_when() {
    let dir = tempfile::tempdir().unwrap();
    let (town, clock) = memory(dir.path(), "from").await;
    let beads = town.operator().beads();
    let mut ids = Vec::new();
    for until in [None, Some(Timestamp::from_micros(1_900_000_100_000_000))] {
        let bead = beads.create(NewBead::titled("Fell the oak")).await.unwrap();
        let why = "the axe is blunt".to_owned();
        beads.park(ParkBead { id: bead.id.clone(), reason: why, until, expected_version: None }).await.unwrap();
        ids.push(bead.id);
    }
    let file = dir.path().join("out.jsonl");
    let text = give(&town, file.clone(), Dialect::Native).await;
    let (other, _) = memory(dir.path(), "to").await;
    let there = other.operator().beads();
    there.import_from(file.as_path()).await.unwrap();
    for id in &ids {
        let (one, two) = (beads.get(id.clone()).await.unwrap(), there.get(id.clone()).await.unwrap());
        assert_eq!((&two.parked_reason, two.parked_until), (&one.parked_reason, one.parked_until));
        assert_eq!(two.parked_reason.as_deref(), Some("the axe is blunt"));
    }
    assert_eq!(give(&other, dir.path().join("again.jsonl"), Dialect::Native).await, text, "the same bytes");
    // A newer record says so of a bead that is there as well.
    clock.advance(std::time::Duration::from_secs(60));
    let other_words =
        BeadPatch { parked_reason: Patch::Set("the oak is sick".to_owned()), ..BeadPatch::of(ids[0].clone()) };
    beads.update(other_words).await.unwrap();
    give(&town, file.clone(), Dialect::Native).await;
    there.import_from(file.as_path()).await.unwrap();
    assert_eq!(there.get(ids[0].clone()).await.unwrap().parked_reason.as_deref(), Some("the oak is sick"));
    ends(other).await;
    ends(town).await;
}

#[tokio::test]
async fn a_bead_comes_as_it_ended_through_a_folder_that_others_write_too() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(".beads");
    std::fs::create_dir(&folder).unwrap();
    let (town, clock) = memory(dir.path(), "from").await;
    let (other, later) = memory(dir.path(), "to").await;
    later.advance(std::time::Duration::from_secs(60));
    let (here, there) = (town.operator(), other.operator());
    let ended = ended(&town).await;
    let sync = async |of: &gastown_core::Handle| of.beads().sync(SyncBeads::from(folder.as_path())).await.unwrap();
    sync(&here).await;
    sync(&there).await;
    for bead in &ended {
        assert_eq!(stands(&there.beads().get(bead.id.clone()).await.unwrap()), stands(bead), "{:?}", bead.close_reason);
    }
    // Another tool writes the lines anew and does not know the key.
    let file = folder.join("issues.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(r#""resolution":""#));
    let plain: String = text
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("resolution");
            line["priority"] = serde_json::json!(1);
            line["updated_at"] = serde_json::json!("2030-03-17T18:00:00Z");
            [line.to_string(), "\n".to_owned()].concat()
        })
        .collect();
    std::fs::write(&file, &plain).unwrap();
    clock.advance(std::time::Duration::from_secs(120));
    for of in [&here, &there, &here, &there] {
        sync(of).await;
    }
    for bead in &ended {
        for of in [&here, &there] {
            let back = of.beads().get(bead.id.clone()).await.unwrap();
            assert_eq!((back.resolution, back.priority), (bead.resolution, 1), "{:?}", bead.close_reason);
        }
    }
    let rest = std::fs::read_to_string(&file).unwrap();
    for of in [&here, &there] {
        let report = sync(of).await;
        assert_eq!((report.updated, report.lines_changed), (0, 0), "{report:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), rest);
    ends(other).await;
    ends(town).await;
}

#[tokio::test]
async fn what_failed_is_written_for_others_as_closed_and_comes_back_as_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (town, _) = memory(dir.path(), "from").await;
    let made = r#"{"id":"hq-1","title":"t","status":"failed","created_at":"2025-01-01T00:00:00Z","closed_at":"2025-01-02T00:00:00Z"}
{"id":"hq-2","title":"t","status":"failed","resolution":"attempts_exhausted","created_at":"2025-01-01T00:00:00Z","closed_at":"2025-01-02T00:00:00Z"}
{"id":"hq-3","title":"t","status":"closed","resolution":"of some kind","created_at":"2025-01-01T00:00:00Z","closed_at":"2025-01-02T00:00:00Z","updated_at":"2025-01-02T00:00:00Z"}
"#;
    let file = dir.path().join("in.jsonl");
    std::fs::write(&file, made).unwrap();
    town.operator().beads().import_from(file.as_path()).await.unwrap();
    for dialect in [Dialect::Bd, Dialect::Br] {
        let file = dir.path().join("out.jsonl");
        let text = give(&town, file.clone(), dialect).await;
        let (other, _) = memory(dir.path(), &format!("to-{dialect:?}")).await;
        let there = other.operator().beads();
        there.import_from(file.as_path()).await.unwrap();
        let end = async |of: &str| {
            let bead = there.get(id(of)).await.unwrap();
            (bead.status, bead.resolution)
        };
        assert_eq!(end("hq-1").await, (BeadStatus::Closed, Some(Resolution::Abandoned)));
        assert_eq!(end("hq-2").await, (BeadStatus::Failed, Some(Resolution::AttemptsExhausted)));
        assert_eq!(end("hq-3").await, (BeadStatus::Closed, Some(Resolution::Completed)));
        assert!(text.contains(r#""resolution":"of some kind""#), "a word of somebody else's is kept");
        ends(other).await;
    }
    ends(town).await;
}

/// A bead that is to run only if another fails, and the line by which that one ends.
async fn plan_b(town: &Town, end: &str, at: &str) -> (BeadId, String) {
    let beads = town.operator().beads();
    let try_it = beads.create(NewBead::titled("Try it")).await.unwrap();
    let plan_b = beads.create(NewBead::titled("Plan b")).await.unwrap();
    let kind = DependencyKind::ConditionalBlocks;
    beads.link(Link { kind, ..Link::blocks(plan_b.id.clone(), try_it.id.clone()) }).await.unwrap();
    let line = serde_json::json!({
        "id": try_it.id, "title": "Try it", "status": "closed", "close_reason": end, "priority": 2,
        "issue_type": "task", "created_at": try_it.created_at.to_string(), "updated_at": at, "closed_at": at,
    });
    (plan_b.id, format!("{line}\n"))
}

#[tokio::test]
async fn an_end_that_comes_from_a_file_skips_and_frees_like_a_close() {
    for is_sync in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(".beads");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("issues.jsonl");
        let (town, clock) = memory(dir.path(), "town").await;
        let beads = town.operator().beads();
        let bring = async |text: &str| {
            clock.advance(std::time::Duration::from_secs(60));
            if is_sync {
                beads.sync(folder.as_path()).await.unwrap();
                let kept = std::fs::read_to_string(&file).unwrap();
                let of = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone();
                let others = kept.lines().filter(|line| text.lines().all(|new| of(new) != of(line)));
                std::fs::write(&file, others.flat_map(|line| [line, "\n"]).collect::<String>() + text).unwrap();
                beads.sync(folder.as_path()).await.unwrap();
            } else {
                std::fs::write(&file, text).unwrap();
                beads.import_from(file.as_path()).await.unwrap();
            }
        };
        let stands = async |of: &BeadId| {
            let bead = beads.get(of.clone()).await.unwrap();
            (bead.status, bead.resolution, bead.blockers)
        };
        if is_sync {
            std::fs::write(&file, "").unwrap();
        }
        let skipped = (BeadStatus::Closed, Some(Resolution::Skipped), 0);
        let (one, done) = plan_b(&town, "done", "2030-04-01T00:00:00Z").await;
        let (two, cancelled) = plan_b(&town, "cancelled", "2030-04-01T00:00:00Z").await;
        assert_eq!(stands(&one).await, (BeadStatus::Open, None, 1));
        bring(&(done.clone() + &cancelled)).await;
        assert_eq!(stands(&one).await, skipped, "{is_sync}");
        assert_eq!(stands(&two).await, (BeadStatus::Open, None, 0), "{is_sync}");
        // It ended otherwise after all.
        let other = done.replace("\"done\"", "\"cancelled\"").replace("2030-04-01", "2030-05-01");
        bring(&other).await;
        assert_eq!(stands(&one).await, (BeadStatus::Open, None, 0), "{is_sync}");
        ends(town).await;
    }
}
