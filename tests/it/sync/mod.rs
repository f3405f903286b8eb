//! A town and the file of a `.beads` folder, kept equal.
//!
//! - [`changes`]: what each side changed, deleted or cannot take.
//! - [`exchanges`]: towns that exchange beads of the same ids in any order.
//! - [`kills`]: syncs that are killed, and files that are broken.
//! - [`rivals`]: several towns and tools with one folder.
//! - [`twins`]: two beads that have one id.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gastown_core::interchange::Time;
use gastown_core::model::{BeadId, Timestamp};
use gastown_core::store::MemoryBackend;
use gastown_core::{All, BeadPatch, ManualClock, SyncBeads, SyncReport, Town};
use serde_json::{Value as Json, json};

mod changes;
mod exchanges;
mod kills;
mod rivals;
mod twins;

/// A town that is not saved, its clock, and a folder that it shares with others.
struct Side {
    town: Town,
    clock: ManualClock,
    folder: PathBuf,
}

const START: i64 = 1_760_000_000_000_000;

impl Side {
    async fn new(dir: &Path, name: &str) -> Self {
        let clock = ManualClock::at(Timestamp::from_micros(START));
        let builder = Town::builder(dir.join(name)).backend(Arc::new(MemoryBackend::new()));
        let town = builder.clock(Arc::new(clock.clone())).from_env().open().await.unwrap();
        let folder = dir.join("repository/.beads");
        fs::create_dir_all(&folder).unwrap();
        Self { town, clock, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("issues.jsonl")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn line(&self, id: &str) -> Option<Json> {
        self.text().lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()).find(|line| line["id"] == id)
    }

    async fn sync(&self) -> SyncReport {
        self.town.operator().beads().sync(self.folder.as_path()).await.unwrap()
    }

    /// Whoever took lines out of the file meant it.
    async fn sync_as_meant(&self) -> SyncReport {
        let meant = SyncBeads { accept_deletions: true, ..SyncBeads::from(self.folder.as_path()) };
        self.town.operator().beads().sync(meant).await.unwrap()
    }

    async fn rehearse(&self) -> SyncReport {
        let dry = SyncBeads { dry_run: true, ..SyncBeads::from(self.folder.as_path()) };
        self.town.operator().beads().sync(dry).await.unwrap()
    }

    async fn head(&self) -> u64 {
        self.town.operator().upkeep().health(All {}).await.unwrap().head
    }

    /// Nothing is left to do, and doing it writes nothing.
    async fn is_at_rest(&self) {
        let (text, head) = (self.text(), self.head().await);
        let report = self.sync().await;
        assert!(is_idle(&report), "{report:?}");
        assert_eq!((self.text(), self.head().await), (text, head));
    }

    async fn ends(self) {
        let checked = self.town.operator().upkeep().check(All {}).await.unwrap();
        assert_eq!(checked.findings, []);
        self.town.close().await.unwrap();
    }
}

fn is_idle(report: &SyncReport) -> bool {
    report.created + report.updated + report.deleted + report.foreign == 0
        && report.lines_added + report.lines_changed + report.lines_removed == 0
}

fn id(text: &str) -> BeadId {
    BeadId::new(text).unwrap()
}

fn patch(of: &str) -> BeadPatch {
    BeadPatch { id: Some(id(of)), ..BeadPatch::default() }
}

fn issue(id: &str, more: &Json) -> String {
    let mut issue = json!({
        "id": id, "title": "Lay the keel", "status": "open", "priority": 2, "issue_type": "task",
        "created_at": "2025-10-01T00:00:00.123456789Z", "updated_at": "2025-10-01T00:00:00-07:00", "x": 1.5,
    });
    issue.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{issue}\n")
}

fn said(text: &str) -> BTreeMap<String, Json> {
    let mut records = BTreeMap::new();
    for line in text.lines() {
        let mut line: Json = serde_json::from_str(line).unwrap();
        if line["status"] == "tombstone" {
            continue;
        }
        let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (list, key) in [("dependencies", "depends_on_id"), ("comments", "text")] {
            let parts = line[list].as_array().cloned().unwrap_or_default();
            lists.insert(list, parts.iter().map(|part| part[key].to_string()).collect());
        }
        let labels = line["labels"].as_array().cloned().unwrap_or_default();
        lists.insert("labels", labels.iter().map(Json::to_string).collect());
        for list in lists.values_mut() {
            list.sort();
        }
        let metadata = line["metadata"].as_str().map(|text| serde_json::from_str(text).unwrap());
        let metadata: Json = metadata.unwrap_or_else(|| line["metadata"].take());
        let id = line["id"].as_str().unwrap().to_owned();
        // With clocks that differ a change may come before the making; it is read as of the making.
        let at = |key: &str| Time::parse(line[key].as_str().unwrap()).unwrap().at.as_micros();
        let at = at("updated_at").max(at("created_at"));
        let of = |key: &str| line[key].clone();
        records.insert(
            id,
            json!([
                of("title"),
                of("status"),
                of("priority"),
                of("notes"),
                of("description"),
                of("close_reason"),
                at,
                lists,
                metadata
            ]),
        );
    }
    records
}
