//! Reads beside a writer: idle, and as busy as its callers can make it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gastown_core::model::BeadId;
use gastown_core::{NewBead, ReadyFilter, Town};
use tokio::runtime::{Builder, Runtime};

use crate::measure::{Contender, Turn, interleave};
use crate::options::Options;
use crate::report::{Goal, Report, Wanted};

/// Tasks that make beads while the writer is busy.
const BUSY_CALLERS: usize = 8;

/// Measures a read of one bead and a page of ready ones.
pub fn compare(options: &Options, tokio: &Runtime, report: &mut Report) {
    let dir = tempfile::tempdir_in(&options.dir).expect("a folder can be made");
    let town = tokio.block_on(Town::builder(dir.path()).open()).expect("a town opens");
    let beads = Arc::new(tokio.block_on(fill(&town, options.pick(20_000, 20))));
    // The reader's task does not stand behind those of the writer's callers.
    let reader = Builder::new_current_thread().build().expect("a runtime can be made");
    for (name, count, is_page) in [("get of a bead", 2_000, false), ("page of 50 ready beads", 200, true)] {
        let (turns, count) = (options.pick(7, 1), options.pick(count, 4));
        let read = || reader.block_on(reads(&town, &beads, count, is_page));
        let busy = |_| {
            let end = Arc::new(AtomicBool::new(false));
            let callers: Vec<_> =
                (0..BUSY_CALLERS).map(|_| tokio.spawn(write_until(town.clone(), Arc::clone(&end)))).collect();
            let turn = read();
            end.store(true, Ordering::Relaxed);
            for caller in callers {
                tokio.block_on(caller).expect("a caller does not panic");
            }
            turn
        };
        let contenders =
            vec![Contender::new("beside a busy writer", busy), Contender::new("beside an idle writer", |_| read())];
        let figures = interleave(turns, contenders);
        report.case(&format!("reading: {name}"), Goal::Slowest, &figures);
        report.goal("beside an idle writer", Wanted::AtMost(2.0));
    }
    tokio.block_on(town.close()).expect("a town closes");
}

async fn fill(town: &Town, count: usize) -> Vec<BeadId> {
    let made: Vec<_> = (0..64)
        .map(|part| {
            let beads = town.operator().beads();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for n in (part..count).step_by(64) {
                    ids.push(
                        beads.create(NewBead::titled(format!("Caulk boat {n}"))).await.expect("a bead is made").id,
                    );
                }
                ids
            })
        })
        .collect();
    let mut ids = Vec::with_capacity(count);
    for part in made {
        ids.extend(part.await.expect("no task panics"));
    }
    ids
}

async fn write_until(town: Town, end: Arc<AtomicBool>) {
    let beads = town.operator().beads();
    while !end.load(Ordering::Relaxed) {
        beads.create(NewBead::titled("Mend a net")).await.expect("a bead is made");
    }
}

async fn reads(town: &Town, ids: &[BeadId], count: usize, is_page: bool) -> Turn {
    let beads = town.operator().beads();
    let begun = std::time::Instant::now();
    let mut each = Vec::with_capacity(count);
    for n in 0..count {
        let begun = std::time::Instant::now();
        if is_page {
            beads.ready(ReadyFilter::default()).await.expect("it can be read");
        } else {
            beads.get(ids[n * 7_919 % ids.len()].clone()).await.expect("it can be read");
        }
        each.push(begun.elapsed());
    }
    Turn { each, all: begun.elapsed(), writer: None }
}

/// Fills a town with beads; used to open a large one.
pub(crate) fn make(tokio: &Runtime, dir: &Path, count: usize) {
    let mut sqlite = gastown_core::store::SqliteOptions::default();
    sqlite.durability = gastown_core::store::Durability::Normal;
    tokio.block_on(async {
        let town = Town::builder(dir).sqlite_options(sqlite).open().await.expect("a town opens");
        fill(&town, count).await;
        town.close().await.expect("a town closes");
    });
}
