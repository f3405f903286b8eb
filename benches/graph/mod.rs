//! The work graph at size: what beads and their edges cost in towns of a thousand to a million, each beside its floor.
//!
//! The floor of a change is a transaction of the same durability that writes the same rows into a copy of the town's
//! file, with prepared statements and no reads; that of a question is prepared SQL that reads the same rows from the
//! town's file; that of an import is a bulk insert of the same rows, that of an export the writing of the same lines by
//! `serde_json` from memory.

mod changes;
mod edges;
mod peer;
mod questions;
mod raw;
mod seed;
mod trade;

use std::path::{Path, PathBuf};

use gastown_core::Town;
use tokio::runtime::Runtime;

use crate::options::Options;
use crate::report::Report;

/// The sizes where none are asked for.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A town of some size, and a copy of its file that the floor writes into.
struct Place<'a> {
    tokio: &'a Runtime,
    size: usize,
    town: Town,
    file: PathBuf,
    copy: PathBuf,
}

impl Place<'_> {
    /// Runs what the town answers.
    fn run<T>(&self, question: impl Future<Output = gastown_core::Result<T>>) -> T {
        self.tokio.block_on(question).expect("the town answers")
    }

    /// A case's name, with the size.
    fn case(&self, name: &str) -> String {
        format!("{name}, {} beads", shown(self.size))
    }
}

fn shown(size: usize) -> String {
    match size {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{} M", n / 1_000_000),
        n if n >= 1_000 && n % 1_000 == 0 => format!("{} k", n / 1_000),
        n => n.to_string(),
    }
}

/// Runs every case at every size that is asked for.
///
/// # Errors
/// A sentence about a town that is not what it should be, or a file that cannot be written.
pub fn run(options: &Options) -> Result<(), String> {
    let mut report = Report::new("graph", options);
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let tokio = tokio.worker_threads(2).enable_all().build().map_err(|error| error.to_string())?;
    let sizes = match (options.sizes.is_empty(), options.quick) {
        (false, _) => options.sizes.clone(),
        (true, true) => vec![200],
        (true, false) => SIZES.to_vec(),
    };
    for size in sizes {
        let made = seed::town(&tokio, &options.dir, size)?;
        let dir = tempfile::tempdir_in(&options.dir).map_err(|error| error.to_string())?;
        let copy = |name: &str| -> Result<PathBuf, String> {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
            let file = folder.join("town.db");
            std::fs::copy(made.join("town.db"), &file).map_err(|error| error.to_string())?;
            Ok(file)
        };
        let (file, copy) = (copy("town")?, copy("floor")?);
        let folder = file.parent().unwrap_or(Path::new(""));
        let town = tokio.block_on(Town::builder(folder).open()).map_err(|error| error.chain())?;
        let place = Place { tokio: &tokio, size, town, file, copy };
        questions::compare(options, &place, &mut report);
        changes::compare(options, &place, &mut report);
        edges::compare(options, &place, &mut report);
        trade::compare(options, &place, &made, dir.path(), &mut report);
        peer::compare(options, &place, &mut report);
        tokio.block_on(place.town.close()).map_err(|error| error.chain())?;
    }
    report.finish()
}
