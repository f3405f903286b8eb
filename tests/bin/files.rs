//! Work on the files beside the database, on a disk that may fail.

use std::ffi::OsString;
use std::path::Path;

use gastown_core::model::SessionId;
use gastown_core::runtime::{ContainerRuntime as _, ProcessOptions, ProcessRuntime, SessionSpec, Supervisor};
use gastown_core::{Result, Town};
use serde_json::{Value as Json, json};

/// A time that has not come.
const LATER: i64 = 4_000_000_000_000_000;

fn say(line: &Json) {
    println!("{line}");
}

/// What is done with the files of a town: what is over is put away, and the rest copied and written to files beside it.
async fn keep(town: &Town, beside: &Path, round: usize) {
    let at = |name: &str| beside.join(format!("{name}-{round}"));
    for (operation, input) in [
        ("upkeep.archive", json!({ "closed_before": LATER, "events_before": LATER })),
        ("upkeep.backup", json!({ "path": at("backup") })),
        ("upkeep.export", json!({ "path": at("lines") })),
        ("beads.export_to", json!({ "path": at("beads") })),
    ] {
        match town.operator().call(operation, input).await {
            Ok(_) => say(&json!({ "done": operation, "round": round })),
            Err(error) => refused(operation, round, &error),
        }
    }
}

fn refused(what: &str, round: usize, error: &gastown_core::Error) {
    say(&json!({ "failed": what, "round": round, "kind": error.kind().as_str(), "why": error.chain() }));
}

/// `keep <town> <folder>`: archives, backs up and exports a town; then, with the disk mended, once more.
pub(crate) async fn keep_files(args: &[OsString]) -> Result<()> {
    let (folder, beside) = (Path::new(&args[0]), Path::new(&args[1]));
    match Town::builder(folder).open().await {
        Ok(town) => {
            keep(&town, beside, 0).await;
            // It is not there: removing it ends a fault that would last.
            let _ = std::fs::remove_file(gastown_preload::HEAL);
            town.close().await?;
        }
        Err(error) => refused("open", 0, &error),
    }
    let _ = std::fs::remove_file(gastown_preload::HEAL);
    let town = Town::builder(folder).open().await?;
    keep(&town, beside, 1).await;
    town.close().await
}

/// `print <sessions> <workspace> <script>`: has an agent run the script, watched by threads of this process, and waits for
/// its end.
pub(crate) async fn print(args: &[OsString]) -> Result<()> {
    let runtime = ProcessRuntime::new(ProcessOptions::new(&args[0]).supervisor(Supervisor::InProcess))?;
    let script = args[2].to_str().expect("UTF-8").to_owned();
    let id = SessionId::new("s-1")?;
    let mut spec = SessionSpec::new(id.clone(), vec!["/bin/sh".to_owned(), "-c".to_owned(), script], &args[1]);
    spec.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    spec.output_bytes_max = 64 << 10;
    if let Err(error) = runtime.start(&spec).await {
        refused("start", 0, &error);
        return Ok(());
    }
    let record = match runtime.wait(&id).await {
        Ok(record) => record,
        Err(error) => {
            refused("wait", 0, &error);
            // What the host could not see goes on: it sees it once the disk is mended.
            let _ = std::fs::remove_file(gastown_preload::HEAL);
            runtime.wait(&id).await?
        }
    };
    say(&json!({
        "ended": record.outcome.to_string(), "bytes": record.output_bytes, "dropped": record.output_dropped_bytes,
    }));
    Ok(())
}
