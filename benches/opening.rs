//! Opening a large town: how long it takes, and how much memory.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use gastown_core::{ReadyFilter, Town};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use crate::cpu::memory;
use crate::measure::middle;
use crate::options::Options;
use crate::reading::make;
use crate::report::{Report, Wanted};

/// The variable that tells a child which town to open.
pub const TOWN: &str = "GASTOWN_BENCH_OPEN";

/// Opens a town of a million beads in fresh processes. The town is made once and kept in the target folder.
///
/// # Errors
/// A sentence about a child that failed.
pub fn measure(options: &Options, tokio: &Runtime, report: &mut Report) -> Result<(), String> {
    let count = options.pick(1_000_000, 50);
    let dir = options.dir.join(format!("town-of-{count}"));
    if !dir.join("whole").exists() {
        let _ = std::fs::remove_dir_all(&dir);
        make(tokio, &dir, count);
        std::fs::write(dir.join("whole"), "").map_err(|error| error.to_string())?;
    }
    let runs: Vec<Json> = (0..options.pick(9, 1))
        .map(|_| if options.quick { Ok(once(tokio, &dir)) } else { apart(&dir) })
        .collect::<Result<_, _>>()?;
    let figure = |name: &str| middle(runs.iter().filter_map(|run| run[name].as_f64()).collect());
    println!("\nopening a town of {count} beads");
    for name in ["open_ms", "first_get_ms", "first_ready_ms", "grown_mib", "peak_mib"] {
        println!("  {name:<42} {:>9.2}", figure(name));
    }
    report.figure(format!("opening a town of {count} beads: ms"), figure("open_ms"), Wanted::AtMost(100.0));
    report.figure(format!("opening a town of {count} beads: MiB at most"), figure("peak_mib"), Wanted::AtMost(64.0));
    Ok(())
}

fn apart(dir: &Path) -> Result<Json, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(exe).env(TOWN, dir).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("a child that opens a town: {error}"))
}

/// Opens the town in this process, and reads a bead and a page of ready ones.
pub fn once(tokio: &Runtime, dir: &Path) -> Json {
    tokio.block_on(async {
        let before = memory("VmRSS");
        let begun = Instant::now();
        let town = Town::builder(dir).open().await.expect("a town opens");
        let open = begun.elapsed();
        let beads = town.operator().beads();
        let begun = Instant::now();
        let page = beads.ready(ReadyFilter::default()).await.expect("it can be read");
        let ready = begun.elapsed();
        let begun = Instant::now();
        beads.get(page.beads[0].id.clone()).await.expect("it can be read");
        let get = begun.elapsed();
        let grown = memory("VmRSS").saturating_sub(before);
        let peak = memory("VmHWM");
        town.close().await.expect("a town closes");
        #[allow(clippy::cast_precision_loss, reason = "a figure is printed with two digits")]
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let ms = |took: std::time::Duration| took.as_secs_f64() * 1e3;
        json!({
            "open_ms": ms(open), "first_get_ms": ms(get), "first_ready_ms": ms(ready),
            "grown_mib": mib(grown), "peak_mib": mib(peak),
        })
    })
}
