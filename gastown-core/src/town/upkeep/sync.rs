//! The town and the file of a `.beads` folder, kept equal.
//!
//! One round: read the file, compare, change the town, replace the file, note what both agree on. Only the last of these takes
//! an earlier agreement away, so a kill between any two leaves what the next sync brings together again: what is merged already
//! merges into itself. Other syncs of the folder wait meanwhile; other programs do not, so right before it is replaced the file
//! must still be the one that was read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::turn::Turn;
use super::{blocking, durable, merge, of_whole_town};
use crate::failpoint;
use crate::interchange::{Deletion, Dialect, Document, Entry, Flat, Limits, Reader as Lines, Record, Repaired};
use crate::model::{BeadId, Error, Result};
use crate::store::{Reader, Txn};
use crate::town::handle::Handle;
use crate::town::operation::Operation;
use crate::town::paths;
use crate::work::graph::Link;
use crate::work::trade::import::{LOOSE_MAX, look_again};
use crate::work::trade::source::ISSUE_FILES;
use crate::work::trade::sync::basis::{Agreed, Basis};
use crate::work::trade::sync::look::{Look, Plan, Step};
use crate::work::trade::sync::settle::{Settled, settle};
use crate::work::trade::twins::make_room;
use crate::work::txn::ScopedTxn;
use crate::work::view::View;
use crate::work::{ImportFlaw, ImportRepair, ImportReport, SyncBeads, SyncReport, beads, command};

/// How often a sync begins anew because the file or a bead changed meanwhile.
const ROUNDS_MAX: usize = 10;
/// The most beads that one transaction changes, and agreements that one notes.
const BATCH_MAX: usize = 500;
/// So many lines may always be taken out.
const GONE_MIN: u64 = 10;
/// The code of values that a bead cannot have.
const SET_ASIDE: &str = "value_set_aside";
/// The code by which a rehearsal has its transaction undone.
const UNDONE: &str = "sync_rehearsed";

/// What is read from a folder.
struct Found {
    document: Document,
    /// Whether the file is there.
    exists: bool,
    deletions: BTreeMap<String, Deletion>,
}

/// One sync, in rounds.
struct Rounds<'a> {
    handle: &'a Handle,
    operation: &'static Operation,
    input: SyncBeads,
    path: PathBuf,
    basis: Basis,
    /// Ids that beads cannot do without.
    kept: BTreeSet<String>,
    loose: HashSet<Link>,
    report: SyncReport,
}

/// Brings the town and a file of issues together.
pub(in crate::town) async fn sync(
    handle: &Handle,
    operation: &'static Operation,
    input: SyncBeads,
) -> Result<SyncReport> {
    of_whole_town(handle)?;
    if let Some(rig) = &input.rig {
        handle.rigs().get(rig.clone()).await?;
    }
    let given = input.path.clone();
    let path = blocking(move || file_of(&given)).await?;
    let basis = Basis::new(&path, input.rig.as_ref());
    let report = SyncReport { path: path.clone(), ..SyncReport::default() };
    let (kept, loose) = (BTreeSet::new(), HashSet::new());
    let mut rounds = Rounds { handle, operation, input, path, basis, kept, loose, report };
    // A rehearsal writes nothing, so it need not wait.
    let _turn = if rounds.input.dry_run { None } else { Some(Turn::of(&rounds.path).await?) };
    for _ in 0..ROUNDS_MAX {
        if rounds.round().await? {
            return rounds.end().await;
        }
    }
    let said = format!("{} or its beads changed {ROUNDS_MAX} times meanwhile", rounds.path.display());
    Err(Error::unavailable("sync_contended", said).with("path", rounds.path.display()).with("rounds", ROUNDS_MAX))
}

/// The file of issues that a path means; it need not be there yet.
fn file_of(given: &Path) -> Result<PathBuf> {
    let given = paths::absolute(given)?;
    let missing = |path: &Path| {
        Error::not_found("path_missing", format!("{} is not there", path.display())).with("path", path.display())
    };
    let real = given.canonicalize().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => missing(&given).because(source),
        _ => paths::unreadable(&given, source),
    })?;
    if !real.is_dir() {
        return Ok(real);
    }
    let inner = real.join(".beads");
    let is_folder = inner.is_dir() || real.file_name().is_some_and(|name| name == ".beads");
    let folder = if inner.is_dir() { inner } else { real };
    if let Some(side) = Flat::SIDE_FILES.iter().find(|name| folder.join(name).is_file()) {
        let said = format!("{} is a flat export, which can be imported and not kept equal", folder.display());
        return Err(Error::invalid("export_is_flat", said).with("path", folder.display()).with("file", side));
    }
    let found = ISSUE_FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    match found {
        Some(path) => path.canonicalize().map_err(|source| paths::unreadable(&path, source)),
        None if is_folder => Ok(folder.join(ISSUE_FILES[0])),
        None => Err(Error::not_found("issues_missing", format!("{} has no file of issues", folder.display()))
            .with("path", folder.display())
            .with("files", ISSUE_FILES.join(", "))),
    }
}

/// Reads the file, and what the one beside it tells of deleted issues.
fn read(path: &Path) -> Result<Found> {
    let (text, exists) = match merge::read(path) {
        Ok(text) => (text, true),
        Err(error) if error.code() == "path_missing" => (Vec::new(), false),
        Err(error) => return Err(error),
    };
    let mut deletions = BTreeMap::new();
    let beside = path.with_file_name("deletions.jsonl");
    if beside.is_file() {
        for entry in Lines::new(merge::read(&beside)?.as_slice(), Limits::default()) {
            if let Entry::Read(line) = entry?
                && let Record::Deletion(one) = line.record
            {
                deletions.insert(one.id.clone(), *one);
            }
        }
    }
    Ok(Found { document: Document::read(text)?, exists, deletions })
}

/// What is to be done, from what was read and what the town has.
fn look_at(
    found: &mut Found,
    basis: &Basis,
    kept: &BTreeSet<String>,
    dialect: Dialect,
    view: View<'_>,
) -> Result<Plan> {
    let dialect = found.document.dialect().unwrap_or(dialect);
    let (document, deletions) = (&mut found.document, &found.deletions);
    Look { basis, document, deletions, kept, dialect }.plan(view)
}

/// What a rehearsal came to.
enum Rehearsed {
    /// All that was planned, the last of it when every bead had its id, and what that did.
    Done(Vec<Plan>, Box<Settled>),
    /// A bead cannot have another id now.
    Refused(BeadId, Error),
}

/// Old ids and new, those first whose new id is not one that another is still to give up.
fn in_turn(mut renames: Vec<(BeadId, BeadId)>) -> Vec<(BeadId, BeadId)> {
    let mut ordered = Vec::with_capacity(renames.len());
    while !renames.is_empty() {
        let old: BTreeSet<BeadId> = renames.iter().map(|(from, _)| from.clone()).collect();
        let (now, later): (Vec<_>, Vec<_>) = renames.into_iter().partition(|(_, to)| !old.contains(to));
        renames = later;
        if now.is_empty() {
            ordered.append(&mut renames);
        }
        ordered.extend(now);
    }
    ordered
}

fn relocate(txn: &mut ScopedTxn<'_>, from: &BeadId, to: &BeadId) -> Result<()> {
    make_room(txn, to)?;
    beads::relocate(txn, from, to)
}

/// Whether a bead cannot have another id now, and everything else may go on.
fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), crate::ErrorKind::Conflict | crate::ErrorKind::Invalid)
}

impl Rounds<'_> {
    /// One round; answers whether all is done.
    async fn round(&mut self) -> Result<bool> {
        let path = self.path.clone();
        let found = blocking(move || read(&path)).await?;
        let (found, mut plan) = self.look(found).await?;
        self.doubt(&found, &plan)?;
        if self.input.dry_run {
            return self.rehearse(found, plan).await;
        }
        let renames = std::mem::take(&mut plan.renames);
        let is_renamed = !renames.is_empty();
        if !self.rename(renames).await? {
            // Who else gets another id is decided anew.
            return Ok(false);
        }
        self.tell(&found, &mut plan);
        if is_renamed {
            return Ok(false);
        }
        let moved = self.change_town(&mut plan).await?;
        if !self.replace_file(found, &plan).await? {
            return Ok(false);
        }
        Ok(self.agree(plan).await? && !moved)
    }

    async fn look(&self, found: Found) -> Result<(Found, Plan)> {
        let (scope, now) = (self.handle.shared_scope(), self.handle.town().ctx().now);
        let (basis, kept) = (self.basis.clone(), self.kept.clone());
        let dialect = self.input.dialect;
        let look = move |reader: &dyn Reader| {
            let mut found = found;
            let plan = look_at(&mut found, &basis, &kept, dialect, View::new(reader, &scope, now))?;
            Ok((found, plan))
        };
        self.handle.town().shared.store.read_aside(look).await
    }

    /// Refuses to take lines that are gone for deletions where the file looks broken: it is not there or empty, some of it
    /// cannot be read, or most of what was known is gone.
    fn doubt(&self, found: &Found, plan: &Plan) -> Result<()> {
        let Plan { gone, known, .. } = *plan;
        if gone == 0 || self.input.accept_deletions {
            return Ok(());
        }
        let why = if !found.exists {
            "the file is not there"
        } else if found.document.is_empty() {
            "the file has no issues"
        } else if found.document.told().flaws > 0 {
            "some of its lines cannot be read"
        } else if gone >= GONE_MIN && gone * 2 > known {
            "most of its lines are gone"
        } else {
            return Ok(());
        };
        let path = self.path.display();
        let said = format!(
            "{gone} of {known} issues that {path} had are gone from it, and {why}: put it right, or accept their deletion"
        );
        Err(Error::conflict("sync_file_incomplete", said).with("path", path).with("gone", gone).with("known", known))
    }

    /// Says what was found.
    fn tell(&mut self, found: &Found, plan: &mut Plan) {
        let told = found.document.told();
        self.report.dialect = found.document.dialect().unwrap_or(self.input.dialect);
        self.report.tell(plan.unchanged, told.markers, std::mem::take(&mut plan.choices));
        let file = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.tell_repairs(found, plan, &file);
        let mut lines: Vec<ImportFlaw> = told
            .flawed
            .iter()
            .map(|flaw| ImportFlaw {
                file: file.clone(),
                line: flaw.line,
                column: flaw.column,
                code: flaw.code.to_owned(),
                message: flaw.message.clone(),
            })
            .collect();
        for (id, code, message) in &plan.refused {
            let (file, line) = (file.clone(), found.document.number(id).unwrap_or(0));
            lines.push(ImportFlaw { file, line, column: 1, code: code.clone(), message: message.clone() });
        }
        self.report.say_flaws(told.flaws + plan.refused.len() as u64, lines);
    }

    fn tell_repairs(&mut self, found: &Found, plan: &Plan, file: &str) {
        let told = found.document.told();
        let mut repairs: BTreeMap<String, u64> =
            told.repairs.iter().map(|(code, times)| ((*code).to_owned(), *times)).collect();
        let repair = |line, column, key: &str, code: &str, message: &str| {
            let [file, key, code, message] = [file, key, code, message].map(str::to_owned);
            ImportRepair { file, line, column, key, code, message }
        };
        let mut repaired: Vec<ImportRepair> = told
            .repaired
            .iter()
            .map(|Repaired { line, column, repair: of, .. }| repair(*line, *column, &of.key, of.code, &of.message))
            .collect();
        for (id, key, message) in &plan.set_aside {
            let Some(line) = found.document.number(id) else { continue };
            *repairs.entry(SET_ASIDE.to_owned()).or_default() += 1;
            let column = found.document.column_of(id, key).unwrap_or(1);
            repaired.push(repair(line, column, key, SET_ASIDE, message));
        }
        repaired.sort_by_key(|one| (one.line, one.column));
        self.report.say_repairs(repairs, repaired);
    }

    /// Does the whole in the town in one transaction, which is undone; answers whether all could be done.
    async fn rehearse(&mut self, found: Found, plan: Plan) -> Result<bool> {
        let (ctx, scope, name) = (self.handle.town().ctx(), self.handle.shared_scope(), self.operation.name);
        let (basis, kept, input) = (self.basis.clone(), self.kept.clone(), self.input.clone());
        let (found, slot) = (Arc::new(Mutex::new(found)), Arc::new(Mutex::new(None)));
        let (here, place) = (Arc::clone(&found), Arc::clone(&slot));
        // With other ids it is looked at anew, as all beads are then.
        let mut first = Some(plan).filter(|plan| plan.renames.is_empty());
        let write = move |raw: &mut dyn Txn| -> Result<()> {
            let mut found = here.lock().unwrap_or_else(PoisonError::into_inner);
            let rehearsed = command::batch(raw, &scope, &ctx, name, |txn| {
                let mut plans = Vec::new();
                loop {
                    let mut plan = match first.take() {
                        Some(plan) => plan,
                        None => look_at(&mut found, &basis, &kept, input.dialect, txn.view())?,
                    };
                    let renames = std::mem::take(&mut plan.renames);
                    if renames.is_empty() || plans.len() == ROUNDS_MAX {
                        let settled = settle(txn, &plan.steps, &plan.foreign, input.rig.as_ref())?;
                        plans.push(plan);
                        return Ok(Rehearsed::Done(plans, Box::new(settled)));
                    }
                    plans.push(plan);
                    for (from, to) in in_turn(renames) {
                        match relocate(txn, &from, &to) {
                            Err(error) if is_refused(&error) => return Ok(Rehearsed::Refused(from, error)),
                            relocated => relocated?,
                        }
                    }
                }
            })?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(rehearsed);
            Err(Error::conflict(UNDONE, "the sync was rehearsed and is undone"))
        };
        match self.handle.town().shared.store.write(write).await {
            Err(error) if error.code() == UNDONE => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let rehearsed = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rehearsed =
            rehearsed.ok_or_else(|| Error::internal("sync_lost", "the sync was rehearsed and said nothing"))?;
        let (mut plans, settled) = match rehearsed {
            Rehearsed::Done(plans, settled) => (plans, settled),
            Rehearsed::Refused(id, error) => {
                self.hold(id, &error);
                return Ok(false);
            }
        };
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        for plan in &mut plans {
            self.tell(&found, plan);
        }
        let stay = self.absorb(*settled);
        if let Some(mut plan) = plans.pop() {
            plan.without(&stay);
            self.count_lines(&found.document, &plan);
        }
        Ok(true)
    }

    /// Notes that a bead cannot have another id now.
    fn hold(&mut self, id: BeadId, error: &Error) {
        self.kept.insert(id.as_str().to_owned());
        self.report.hold(id, error.code());
    }

    /// Takes in what a batch did; answers the issues that stayed as they are.
    fn absorb(&mut self, settled: Settled) -> BTreeSet<String> {
        let Settled { outcome, held, moved } = settled;
        self.report.absorb(outcome.report);
        let room = LOOSE_MAX.saturating_sub(self.loose.len());
        self.loose.extend(outcome.loose.into_iter().take(room));
        let stay = held.iter().map(|id| id.as_str().to_owned()).chain(moved).collect();
        for id in held {
            self.report.hold(id, "in_use");
        }
        stay
    }

    /// Gives beads another id whose own one belongs to another issue in the file; answers whether all could get it.
    async fn rename(&mut self, renames: Vec<(BeadId, BeadId)>) -> Result<bool> {
        let mut is_done = true;
        for (from, to) in in_turn(renames) {
            let (ctx, scope, name) = (self.handle.town().ctx(), self.handle.shared_scope(), self.operation.name);
            let id = from.clone();
            let write =
                move |raw: &mut dyn Txn| command::batch(raw, &scope, &ctx, name, |txn| relocate(txn, &from, &to));
            match self.handle.town().shared.store.write(write).await {
                Ok(()) => {}
                Err(error) if is_refused(&error) => {
                    is_done = false;
                    self.hold(id, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(is_done)
    }

    /// Changes the town, a batch at a time; answers whether a bead changed meanwhile, and must be looked at again.
    async fn change_town(&mut self, plan: &mut Plan) -> Result<bool> {
        failpoint::pass("sync.before_town");
        let (steps, foreign) = (std::mem::take(&mut plan.steps), std::mem::take(&mut plan.foreign));
        let mut steps = steps.into_iter().peekable();
        let mut foreign = foreign.into_iter().peekable();
        let (mut stay, mut is_moved) = (BTreeSet::new(), false);
        while steps.peek().is_some() || foreign.peek().is_some() {
            let steps: Vec<Step> = steps.by_ref().take(BATCH_MAX).collect();
            let foreign: Vec<_> = foreign.by_ref().take(BATCH_MAX).collect();
            let (ctx, scope, rig) = (self.handle.town().ctx(), self.handle.shared_scope(), self.input.rig.clone());
            let name = self.operation.name;
            let write = move |raw: &mut dyn Txn| {
                command::batch(raw, &scope, &ctx, name, |txn| settle(txn, &steps, &foreign, rig.as_ref()))
            };
            let settled = self.handle.town().shared.store.write(write).await?;
            is_moved |= !settled.moved.is_empty();
            stay.extend(self.absorb(settled));
            failpoint::pass("sync.town_changed");
        }
        plan.without(&stay);
        Ok(is_moved)
    }

    fn count_lines(&mut self, document: &Document, plan: &Plan) {
        for (id, line) in &plan.lines {
            match (document.contains(id), line) {
                (true, Some(_)) => self.report.lines_changed += 1,
                (true, None) => self.report.lines_removed += 1,
                (false, Some(_)) => self.report.lines_added += 1,
                (false, None) => {}
            }
        }
    }

    /// Puts the changed lines into the file; answers whether it was still the one that was read.
    async fn replace_file(&mut self, found: Found, plan: &Plan) -> Result<bool> {
        if plan.lines.is_empty() && !found.document.is_unfinished() {
            return Ok(true);
        }
        let text = found.document.with(&plan.lines);
        let path = self.path.clone();
        let (is_done, document) = blocking(move || {
            let Found { document, exists, .. } = found;
            let is_still = || match merge::read(&path) {
                Ok(now) => Ok(exists && now == document.bytes()),
                Err(error) if error.code() == "path_missing" => Ok(!exists),
                Err(error) => Err(error),
            };
            let is_done = durable::replace_if(&path, &text, is_still)?;
            Ok((is_done, document))
        })
        .await?;
        if is_done {
            failpoint::pass("sync.file_replaced");
            self.count_lines(&document, plan);
        }
        Ok(is_done)
    }

    /// Notes what both agree on by now; answers whether nobody else did meanwhile.
    async fn agree(&self, plan: Plan) -> Result<bool> {
        let changes: Vec<(String, Option<Agreed>)> = plan.agreed.into_iter().collect();
        for (version, batch) in (plan.version..).zip(changes.chunks(BATCH_MAX)) {
            let (ctx, scope, name) = (self.handle.town().ctx(), self.handle.shared_scope(), self.operation.name);
            let (basis, batch) = (self.basis.clone(), batch.to_vec());
            let write = move |raw: &mut dyn Txn| {
                command::batch(raw, &scope, &ctx, name, |txn| basis.keep(txn, version, &batch))
            };
            if !self.handle.town().shared.store.write(write).await? {
                return Ok(false);
            }
            failpoint::pass("sync.agreed");
        }
        Ok(true)
    }

    /// The report, with the edges that still have no target.
    async fn end(self) -> Result<SyncReport> {
        let (scope, now) = (self.handle.shared_scope(), self.handle.town().ctx().now);
        let (loose, mut report) = (self.loose, self.report);
        let look = move |reader: &dyn Reader| {
            let mut found = ImportReport::default();
            look_again(View::new(reader, &scope, now), &loose, &mut found)?;
            Ok(found)
        };
        report.absorb(self.handle.town().shared.store.read(look).await?);
        Ok(report)
    }
}
