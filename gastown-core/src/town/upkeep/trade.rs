//! Beads in from other tools' files, and out to them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{blocking, durable, of_whole_town};
use crate::model::{Error, Result};
use crate::store::{Reader, Txn};
use crate::town::handle::Handle;
use crate::town::operation::Operation;
use crate::town::paths;
use crate::work::command;
use crate::work::graph::Link;
use crate::work::trade::import::{Batch, LOOSE_MAX, Manner, Outcome, import as take, look_again, still_loose};
use crate::work::trade::source::Source;
use crate::work::trade::twins::Names;
use crate::work::trade::{BeadsExported, ExportBeads, ImportBeads, ImportReport, export as put};
use crate::work::view::View;

/// What is known of an import so far.
#[derive(Default)]
struct Progress {
    report: ImportReport,
    loose: HashSet<Link>,
}

impl Progress {
    fn add(&mut self, outcome: Outcome) {
        self.report.absorb(outcome.report);
        self.loose.extend(outcome.loose);
    }

    /// Whether there are as many loose edges as are remembered; those whose targets came meanwhile are to be forgotten.
    fn is_full(&self) -> bool {
        self.loose.len() >= LOOSE_MAX
    }

    /// Keeps edges that are loose still, and takes for dangling what would soon fill the room again.
    fn keep(&mut self, loose: HashSet<Link>, most: usize) {
        for edge in loose {
            if self.loose.len() < most {
                self.loose.insert(edge);
            } else {
                self.report.dangles(edge);
            }
        }
    }
}

/// Takes in the beads of a file or folder, a batch at a time.
pub(in crate::town) async fn import(
    handle: &Handle,
    operation: &'static Operation,
    input: ImportBeads,
) -> Result<ImportReport> {
    of_whole_town(handle)?;
    let path = paths::absolute(&input.path)?;
    let manner = Manner { rig: input.rig.clone(), resurrect: input.resurrect };
    if let Some(rig) = input.rig {
        handle.rigs().get(rig).await?;
    }
    if input.strict {
        let path = path.clone();
        blocking(move || refuse_flawed(&path)).await?;
    }
    if input.dry_run {
        return rehearse(handle, operation, path, manner).await;
    }
    let store = &handle.town().shared.store;
    let mut progress = Progress::default();
    let names = Arc::new(names(handle, &path).await?);
    let source = blocking(move || Source::open(&path)).await?;
    let (mut next, mut spent) = (next_batch(source, None).await?, None);
    loop {
        let (source, batch, read) = next;
        progress.report.absorb(read);
        let Some(batch) = batch else { break };
        let (ctx, scope, manner) = (handle.town().ctx(), handle.shared_scope(), manner.clone());
        let batch = Arc::new(batch);
        let (taken, names) = (Arc::clone(&batch), Arc::clone(&names));
        let write = move |raw: &mut dyn Txn| {
            command::batch(raw, &scope, &ctx, operation.name, |txn| take(txn, &taken, &names, &manner))
        };
        // The next one is read while this one is written.
        let (written, read) = tokio::join!(store.write(write), next_batch(source, spent.replace(batch)));
        progress.add(written?);
        next = read?;
        if progress.is_full() {
            let (scope, now) = (handle.shared_scope(), handle.town().ctx().now);
            let loose = std::mem::take(&mut progress.loose);
            let sift = move |reader: &dyn Reader| still_loose(View::new(reader, &scope, now), &loose);
            progress.keep(store.read(sift).await?, LOOSE_MAX / 2);
        }
    }
    let Progress { report, loose } = progress;
    let (scope, now) = (handle.shared_scope(), handle.town().ctx().now);
    let look = move |reader: &dyn Reader| {
        let mut report = report.clone();
        look_again(View::new(reader, &scope, now), &loose, &mut report)?;
        Ok(report)
    };
    store.read(look).await
}

/// Reads a file for what its ids mean, as an edge may be read before the bead is that it leads to.
async fn names(handle: &Handle, path: &Path) -> Result<Names> {
    let store = &handle.town().shared.store;
    let (scope, now) = (handle.shared_scope(), handle.town().ctx().now);
    let of = scope.clone();
    if !store.read(move |reader: &dyn Reader| Names::are_asked(View::new(reader, &of, now))).await? {
        return Ok(Names::default());
    }
    let path = path.to_owned();
    let mut source = blocking(move || Source::open(&path)).await?;
    let names = Arc::new(Mutex::new(Names::default()));
    loop {
        let (rest, batch, _) = next_batch(source, None).await?;
        source = rest;
        let Some(batch) = batch else { break };
        let (of, known) = (scope.clone(), Arc::clone(&names));
        let learn = move |reader: &dyn Reader| {
            known.lock().unwrap_or_else(PoisonError::into_inner).learn(View::new(reader, &of, now), &batch)
        };
        store.read(learn).await?;
    }
    let names = std::mem::take(&mut *names.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(names)
}

/// Reads a batch, and what there is to say of its lines. One that was taken in is dropped here, as the writer has more to
/// do.
async fn next_batch(mut source: Source, spent: Option<Arc<Batch>>) -> Result<(Source, Option<Batch>, ImportReport)> {
    blocking(move || {
        drop(spent);
        let mut read = ImportReport::default();
        let batch = source.next_batch(&mut read)?;
        Ok((source, batch, read))
    })
    .await
}

/// Refuses where one line is no good.
fn refuse_flawed(path: &Path) -> Result<()> {
    let mut source = Source::open(path)?;
    let mut report = ImportReport::default();
    loop {
        let batch = source.next_batch(&mut report)?;
        if let Some(flaw) = report.flawed_lines.first() {
            let said = format!("{}, line {}, column {}: {}", flaw.file, flaw.line, flaw.column, flaw.message);
            return Err(Error::invalid("import_flawed", said)
                .with("file", &flaw.file)
                .with("line", flaw.line)
                .with("column", flaw.column)
                .with("flaw", &flaw.code));
        }
        if batch.is_none() {
            return Ok(());
        }
    }
}

/// The code by which a rehearsal has its transaction undone.
const UNDONE: &str = "import_rehearsed";

/// Does the whole in one transaction, which is undone.
async fn rehearse(
    handle: &Handle,
    operation: &'static Operation,
    path: PathBuf,
    manner: Manner,
) -> Result<ImportReport> {
    let (ctx, scope) = (handle.town().ctx(), handle.shared_scope());
    let found = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&found);
    let write = move |raw: &mut dyn Txn| -> Result<()> {
        let report = command::batch(raw, &scope, &ctx, operation.name, |txn| {
            let mut progress = Progress::default();
            let (mut names, mut ahead) = (Names::default(), Source::open(&path)?);
            while let Some(batch) = ahead.next_batch(&mut ImportReport::default())? {
                names.learn(txn.view(), &batch)?;
            }
            let mut source = Source::open(&path)?;
            while let Some(batch) = source.next_batch(&mut progress.report)? {
                progress.add(take(txn, &batch, &names, &manner)?);
                if progress.is_full() {
                    let loose = std::mem::take(&mut progress.loose);
                    progress.keep(still_loose(txn.view(), &loose)?, LOOSE_MAX / 2);
                }
                txn.event_now("beads.imported", "town", serde_json::json!({}))?;
            }
            look_again(txn.view(), &progress.loose, &mut progress.report)?;
            Ok(progress.report)
        })?;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        Err(Error::conflict(UNDONE, "the import was rehearsed and is undone"))
    };
    match handle.town().shared.store.write(write).await {
        Err(error) if error.code() == UNDONE => {}
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    let report = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    report.ok_or_else(|| Error::internal("import_lost", "the import was rehearsed and said nothing"))
}

/// Writes the town's beads as lines into a file while the town works on.
pub(in crate::town) async fn export(
    handle: &Handle,
    _: &'static Operation,
    input: ExportBeads,
) -> Result<BeadsExported> {
    of_whole_town(handle)?;
    let path = if input.replace { paths::absolute(&input.path)? } else { durable::new_path(&input.path)? };
    if input.replace {
        paths::refuse_own(&path, handle.town().dir())?;
    }
    let (scope, now) = (handle.shared_scope(), handle.town().ctx().now);
    let job = move |reader: &dyn Reader| {
        let write = |out: &mut durable::Out<'_>| put::export(View::new(reader, &scope, now), &input, out);
        if input.replace { durable::replace_file(&path, write) } else { durable::write_file(&path, write) }
    };
    handle.town().shared.store.read_aside(job).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BeadId, DependencyKind, Scope, Timestamp};
    use crate::work::find::testing::town_of;

    #[test]
    fn edges_whose_targets_came_later_are_no_longer_loose_where_there_were_too_many() {
        let link = |n: usize| Link {
            bead: BeadId::new("gt-0").unwrap(),
            on_bead: BeadId::new(format!("gt-{n}")).unwrap(),
            kind: DependencyKind::Blocks,
            gate: None,
        };
        let town = town_of(1, 8);
        let loose: HashSet<Link> = [3, 7, 8, 9, 10].map(link).into();
        let left = town.read(&Scope::Operator, Timestamp::default(), |view| still_loose(view, &loose).unwrap());
        assert_eq!(left, [8, 9, 10].map(link).into());
        let mut progress = Progress::default();
        progress.keep(left.clone(), 3);
        assert_eq!((progress.report.dangling, &progress.loose), (0, &left));
        let mut progress = Progress::default();
        progress.keep(left, 2);
        assert_eq!((progress.report.dangling, progress.loose.len()), (1, 2));
    }
}
