//! Whole files into towns.

use std::path::Path;
use std::sync::Arc;

use super::check_refusal;
use crate::interchange::Dialect;
use crate::store::MemoryBackend;
use crate::{All, ExportBeads, ImportBeads, Town};

/// Any bytes as a file: it comes in whole or in part and never twice, the counts of the graph are right, and what goes out
/// comes in elsewhere as the same.
pub(super) fn run(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread of its own");
    let folder = tempfile::tempdir().expect("a folder");
    runtime.block_on(run_in(folder.path(), bytes));
}

async fn open(folder: &Path, name: &str) -> Town {
    let builder = Town::builder(folder.join(name)).backend(Arc::new(MemoryBackend::new())).seed(7);
    builder.open().await.expect("an empty town opens")
}

async fn run_in(folder: &Path, bytes: &[u8]) {
    let file = folder.join("issues.jsonl");
    std::fs::write(&file, bytes).expect("the folder is ours");
    let town = open(folder, "one").await;
    let beads = town.operator().beads();
    let rehearsed =
        beads.import_from(ImportBeads { dry_run: true, ..ImportBeads::from(&*file) }).await.expect("a report");
    let first = beads.import_from(&*file).await.expect("a report");
    assert_eq!((rehearsed.created, rehearsed.flaws), (first.created, first.flaws), "a rehearsal tells what comes");
    let again = beads.import_from(&*file).await.expect("a report");
    assert_eq!((again.created, again.updated, again.flaws), (0, 0, first.flaws), "{again:?}");
    if let Err(error) = beads.import_from(ImportBeads { strict: true, ..ImportBeads::from(&*file) }).await {
        check_refusal(&error, &["import_flawed"]);
        assert!(first.flaws > 0);
    }
    assert_eq!(town.operator().upkeep().check(All {}).await.expect("it is looked over").findings, []);
    assert_eq!(town.replay().await.expect("it is played").differences, Vec::<String>::new());
    let export = async |town: &Town, name: &str| {
        let path = folder.join(name);
        let asked = ExportBeads { dialect: Dialect::Native, ..ExportBeads::from(&*path) };
        town.operator().beads().export_to(asked).await.expect("it goes out");
        std::fs::read(path).expect("it is there")
    };
    let out = export(&town, "out.jsonl").await;
    let other = open(folder, "other").await;
    let moved = other.operator().beads().import_from(&*folder.join("out.jsonl")).await.expect("a report");
    assert_eq!(moved.flaws, 0, "what we write is right: {moved:?}");
    let back = export(&other, "back.jsonl").await;
    assert_eq!(String::from_utf8_lossy(&back), String::from_utf8_lossy(&out));
    town.close().await.expect("it closes");
    other.close().await.expect("it closes");
}
