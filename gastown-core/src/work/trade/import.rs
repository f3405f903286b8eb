//! A batch of records into the town.
//!
//! A bead is never taken back in time, a deleted one does not come back unless that is asked for, and of two that contradict
//! each other the same one wins in every town.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Value as Json, json};

use super::LINE;
use super::graves::take_grave;
use super::join::{join as join_issues, said};
use super::report::ImportReport;
use super::rows::{self, Rows};
use super::twins::{Names, again, is_twin, left_apart, made_of, told_apart};
use crate::interchange::Made;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadTextRow, CommentRow, DependencyRow, ForeignRow, Key, LabelRow, Result, RigName,
    RigRow, Row, Stored as _, Timestamp, TombstoneRow,
};
use crate::store::{Scan, index};
use crate::work::archived;
use crate::work::beads;
use crate::work::graph::{self, Ended, Fresh, Known, Link};
use crate::work::txn::{Arrival, ScopedTxn};
use crate::work::view::{View, text};

/// Records that come in together.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(super) records: Vec<Incoming>,
}

/// One record.
#[derive(Clone, Debug)]
pub(super) enum Incoming {
    Issue(Box<Rows>),
    Grave(Box<Grave>),
    Foreign(Box<ForeignRow>),
}

impl Incoming {
    /// Which bead it is about.
    pub(super) fn id(&self) -> Option<&BeadId> {
        match self {
            Self::Issue(rows) => Some(&rows.bead.id),
            Self::Grave(grave) => Some(&grave.id),
            Self::Foreign(_) => None,
        }
    }

    /// Whether its bead may be here under another id.
    fn is_twin(&self, names: &Names) -> bool {
        let is_known = |id: &BeadId, made: &Made| is_twin(id, made) || names.know(id, made);
        match self {
            Self::Issue(rows) => is_known(&rows.bead.id, &made_of(&rows.bead)),
            Self::Grave(grave) => is_known(&grave.id, &grave.made),
            Self::Foreign(_) => false,
        }
    }
}

/// That a bead was deleted.
#[derive(Clone, Debug)]
pub(super) struct Grave {
    pub(super) id: BeadId,
    pub(super) made: Made,
    pub(super) deleted_at: Timestamp,
    pub(super) deleted_by: String,
    pub(super) reason: Option<String>,
    /// The id that it has by now, where it was not deleted.
    pub(super) moved_to: Option<BeadId>,
    pub(super) line: String,
}

/// How to import.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// The rig of new beads.
    pub(crate) rig: Option<RigName>,
    /// Whether deleted beads may come back.
    pub(crate) resurrect: bool,
}

/// What a batch did.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) report: ImportReport,
    /// Edges whose target was not there; it may come in a later batch.
    pub(crate) loose: Vec<Link>,
    /// Beads whose end came with the batch.
    pub(super) ended: Vec<Ended>,
}

/// The most edges whose targets are looked for again at the end. Where there are so many, those whose targets came
/// meanwhile are forgotten, and of the others half as many are remembered: the rest is taken for dangling.
pub(crate) const LOOSE_MAX: usize = 1_000_000;

/// Takes a batch in, in one transaction.
pub(crate) fn import(txn: &mut ScopedTxn<'_>, batch: &Batch, names: &Names, manner: &Manner) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let records = names.translated(batch)?;
    let rigs: Vec<RigRow> = txn.all(Scan::new(&index::RIGS, vec![], 0))?;
    let has_away = archived::is_any(txn.view())?;
    // Those that are new and not written yet.
    let mut fresh: Vec<&Rows> = Vec::new();
    let mut ids: HashSet<&BeadId> = HashSet::new();
    let mut written: Vec<Cow<'_, Rows>> = Vec::new();
    let mut others: Vec<Cow<'_, Rows>> = Vec::new();
    for record in records.iter() {
        let is_twin = record.is_twin(names);
        if is_twin || record.id().is_some_and(|id| ids.contains(id)) {
            // What comes twice is held against what came first.
            create_all(txn, std::mem::take(&mut fresh), manner, &rigs, &mut outcome)?;
            ids.clear();
        }
        match record {
            Incoming::Issue(rows) if !is_twin && is_new(txn, &rows.bead.id, has_away)? => {
                ids.insert(&rows.bead.id);
                fresh.push(rows);
            }
            Incoming::Issue(rows) => {
                let Some(rows) = told_apart(txn, rows, names, &mut outcome.report)? else { continue };
                if let Some(taken) = take_bead(txn, rows.clone(), manner, &rigs, &mut outcome)? {
                    written.retain(|earlier| earlier.bead.id != taken.bead.id);
                    written.push(taken);
                }
                others.push(rows);
            }
            Incoming::Grave(grave) => {
                let Some(grave) = left_apart(txn, grave, names, &mut outcome.report)? else { continue };
                if take_grave(txn, &grave, names, &mut outcome)? {
                    written.retain(|earlier| earlier.bead.id != grave.id);
                }
            }
            Incoming::Foreign(row) => take_foreign(txn, row, &mut outcome.report)?,
        }
    }
    create_all(txn, fresh, manner, &rigs, &mut outcome)?;
    // Edges after the beads, so that most of them find their target.
    take_edges(txn, written.iter().map(Cow::as_ref), &mut outcome.report)?;
    for rows in others {
        find_loose(txn, &rows, &mut outcome)?;
    }
    graph::follow_ends(txn, &outcome.ended)?;
    let report = &outcome.report;
    if report.created + report.updated + report.tombstones + report.foreign > 0 {
        let facts = json!({
            "created": report.created, "updated": report.updated, "tombstones": report.tombstones,
            "foreign": report.foreign,
        });
        txn.event("beads.imported", "town", facts);
    }
    Ok(outcome)
}

/// Gives beads the edges of their records, all of them being there.
pub(super) fn join(txn: &mut ScopedTxn<'_>, written: &[Rows], outcome: &mut Outcome) -> Result<()> {
    take_edges(txn, written.iter(), &mut outcome.report)?;
    written.iter().try_for_each(|rows| find_loose(txn, rows, outcome))?;
    graph::follow_ends(txn, &outcome.ended)
}

fn find_loose(txn: &ScopedTxn<'_>, rows: &Rows, outcome: &mut Outcome) -> Result<()> {
    for edge in &rows.edges {
        if !txn.is_taken(&Key::bead(&edge.on_bead))? {
            outcome.loose.push(link(edge));
        }
    }
    Ok(())
}

/// Whether nothing is known of a bead: neither what it is, nor that it was deleted or is in an archive, nor an edge.
fn is_new(txn: &ScopedTxn<'_>, id: &BeadId, has_away: bool) -> Result<bool> {
    let edges = Scan::new(&index::DEPENDENCIES, vec![text(id)], 1);
    let is_away = has_away && archived::find(txn.view(), id)?.is_some();
    Ok(!is_away
        && !txn.is_taken(&Key::bead(id))?
        && !txn.is_taken(&Key::tombstone(id))?
        && txn.scan::<DependencyRow>(edges)?.is_empty())
}

fn link(edge: &DependencyRow) -> Link {
    Link { bead: edge.bead.clone(), on_bead: edge.on_bead.clone(), kind: edge.kind, gate: edge.gate }
}

/// Writes beads of which nothing is known, each once, with their edges.
fn create_all(
    txn: &mut ScopedTxn<'_>,
    new: Vec<&Rows>,
    manner: &Manner,
    rigs: &[RigRow],
    outcome: &mut Outcome,
) -> Result<()> {
    let row = |rows: &&Rows| {
        let rig = manner.rig.clone().or_else(|| rig_of(&rows.bead.id, rigs));
        Fresh { row: BeadRow { rig, ..rows.bead.clone() }, edges: rows.edges.clone() }
    };
    let mut fresh: Vec<Fresh> = new.iter().map(row).collect();
    let left = graph::settle(txn.town_view(), &mut fresh)?;
    outcome.loose.extend(left.loose.iter().map(link));
    outcome.report.created += fresh.len() as u64;
    txn.put_arrivals(fresh.into_iter().zip(new).map(|(one, rows)| arrival(one, rows)).collect())?;
    for circle in graph::follow(txn, left)? {
        outcome.report.circle(circle);
    }
    Ok(())
}

/// What a new bead brings.
fn arrival(Fresh { row, edges }: Fresh, rows: &Rows) -> Arrival {
    let (subject, facts) = (row.id.clone(), json!({ "kind": row.kind, "title": row.title }));
    let label = |label: &String| LabelRow { bead: subject.clone(), label: label.clone() }.into_row();
    let mut all: Vec<Row> = edges.into_iter().map(DependencyRow::into_row).collect();
    all.extend(row.labels.iter().map(label));
    all.push(row.into_row());
    if has_text(&rows.texts) {
        all.push(rows.texts.clone().into_row());
    }
    all.extend(rows.comments.iter().cloned().map(CommentRow::into_row));
    Arrival { rows: all, kind: "bead.imported", subject, facts }
}

/// Those of the edges whose targets are still not there.
pub(crate) fn still_loose(view: View<'_>, loose: &HashSet<Link>) -> Result<HashSet<Link>> {
    let mut left = HashSet::new();
    for edge in loose {
        if view.look::<BeadRow>(&Key::bead(&edge.on_bead))?.is_none() {
            left.insert(edge.clone());
        }
    }
    Ok(left)
}

/// Adds to the report the edges that still have no target.
pub(crate) fn look_again(view: View<'_>, loose: &HashSet<Link>, report: &mut ImportReport) -> Result<()> {
    let mut left = Vec::new();
    for edge in loose {
        let key = Key::dependency(&edge.bead, &edge.on_bead, edge.kind);
        if view.find::<BeadRow>(&Key::bead(&edge.on_bead))?.is_none() && view.find::<DependencyRow>(&key)?.is_some() {
            left.push(edge.clone());
        }
    }
    left.sort_unstable_by(|a, b| (&a.bead, &a.on_bead, a.kind).cmp(&(&b.bead, &b.on_bead, b.kind)));
    for edge in left {
        report.dangles(edge);
    }
    Ok(())
}

/// What is stored of a bead.
pub(super) struct Stored {
    pub(super) bead: BeadRow,
    pub(super) texts: Option<BeadTextRow>,
    pub(super) edges: Vec<DependencyRow>,
    pub(super) comments: Vec<CommentRow>,
}

impl Stored {
    pub(super) fn of(view: View<'_>, bead: BeadRow) -> Result<Self> {
        let of = || vec![text(&bead.id)];
        let texts = view.find(&Key::bead_text(&bead.id))?;
        let edges = view.all(Scan::new(&index::DEPENDENCIES, of(), 0))?;
        let comments = comments(view, &bead)?;
        Ok(Self { bead, texts, edges, comments })
    }

    pub(super) fn issue(&self) -> crate::interchange::Issue {
        rows::issue(&self.bead, self.texts.as_ref(), &self.edges, &self.comments)
    }
}

/// What was said about a bead.
pub(super) fn comments(view: View<'_>, bead: &BeadRow) -> Result<Vec<CommentRow>> {
    if bead.comments == 0 {
        return Ok(Vec::new());
    }
    view.all(Scan::new(&index::COMMENTS, vec![text(&bead.id)], 0))
}

impl Rows {
    pub(super) fn issue(&self) -> crate::interchange::Issue {
        rows::issue(&self.bead, Some(&self.texts), &self.edges, &self.comments)
    }
}

/// Takes one bead in; answers the rows that were written, whose edges are to be. None where it stays as it is.
fn take_bead<'a>(
    txn: &mut ScopedTxn<'_>,
    rows: Cow<'a, Rows>,
    manner: &Manner,
    rigs: &[RigRow],
    outcome: &mut Outcome,
) -> Result<Option<Cow<'a, Rows>>> {
    let Outcome { report, ended, .. } = outcome;
    let id = &rows.bead.id;
    let Some(bead) = txn.find::<BeadRow>(&Key::bead(id))? else {
        if let Some(left) = txn.find::<TombstoneRow>(&Key::tombstone(id))? {
            // One that has another id here was not deleted.
            let moved = beads::moved_to(&left).and_then(|to| BeadId::new(to).ok());
            let is_elsewhere = moved.map_or(Ok(false), |to| txn.is_taken(&Key::bead(&to)))?;
            if !manner.resurrect || is_elsewhere {
                report.skipped += 1;
                return Ok(None);
            }
            txn.delete(&Key::tombstone(id))?;
        }
        if let Some(away) = archived::find(txn.view(), id)? {
            if !manner.resurrect && rows.bead.updated_at <= away.updated_at {
                report.skipped += 1;
                return Ok(None);
            }
            archived::forget(txn, id)?;
        }
        let rig = manner.rig.clone().or_else(|| rig_of(id, rigs));
        put_new(txn, BeadRow { rig, ..rows.bead.clone() }, &rows)?;
        graph::added(txn, id)?;
        report.created += 1;
        return Ok(Some(rows));
    };
    let stored = Stored::of(txn.view(), bead)?;
    if rows.bead.updated_at < stored.bead.updated_at {
        // A comment is no change of the bead.
        let count = if add_comments(txn, &stored, &rows)? { &mut report.updated } else { &mut report.skipped };
        *count += 1;
        return Ok(None);
    }
    let (here, there) = (said(stored.issue())?, said(rows.issue())?);
    if here == there {
        let count = if add_comments(txn, &stored, &rows)? { &mut report.updated } else { &mut report.unchanged };
        *count += 1;
        return Ok(None);
    }
    if is_in_use(txn, &stored.bead) {
        report.conflict(id, "in_use", false);
        return Ok(None);
    }
    let is_tie = rows.bead.updated_at == stored.bead.updated_at;
    let taken = if is_tie { Cow::Owned(joined(txn, &stored, &rows)?) } else { rows.clone() };
    if is_tie {
        let is_taken = said(taken.issue())? != here;
        report.conflict(id, "equal_time", is_taken);
        if !is_taken {
            // What was said about it is lost in neither case.
            add_comments(txn, &stored, &rows)?;
            return Ok(None);
        }
    }
    ended.extend(update(txn, &stored, &taken)?);
    report.updated += 1;
    Ok(Some(taken))
}

/// What the bead here and a record of the same time come to; edges to what was deleted here do not come back.
fn joined(txn: &ScopedTxn<'_>, stored: &Stored, rows: &Rows) -> Result<Rows> {
    let (here, mut there) = (stored.issue(), rows.issue());
    let known: HashSet<&str> = here.dependencies.iter().map(|edge| edge.depends_on_id.as_str()).collect();
    let mut gone: HashSet<String> = HashSet::new();
    for on in there.dependencies.iter().map(|edge| &edge.depends_on_id).filter(|on| !known.contains(on.as_str())) {
        let Ok(id) = BeadId::new(on.as_str()) else { continue };
        let is_here = txn.is_taken(&Key::bead(&id))?;
        if !is_here && (txn.is_taken(&Key::tombstone(&id))? || archived::find(txn.view(), &id)?.is_some()) {
            gone.insert(on.clone());
        }
    }
    there.dependencies.retain(|edge| !gone.contains(&edge.depends_on_id));
    again(&join_issues(&here, &there)?)
}

/// The rig whose prefix an id has.
pub(super) fn rig_of(id: &BeadId, rigs: &[RigRow]) -> Option<RigName> {
    let fits = |rig: &&RigRow| id.as_str().strip_prefix(&rig.prefix).is_some_and(|rest| rest.starts_with('-'));
    rigs.iter().filter(fits).max_by_key(|rig| rig.prefix.len()).map(|rig| rig.name.clone())
}

/// Whether somebody works on a bead here, whose work an import must not take away.
pub(super) fn is_in_use(txn: &ScopedTxn<'_>, bead: &BeadRow) -> bool {
    bead.convoy.is_some()
        || bead.slung
        || bead.lease_until.is_some_and(|until| until > txn.now())
        || beads::refuse_in_session(txn, bead).is_err()
}

/// Writes a bead that is not there, in this rig, with what belongs to it besides its edges; those that waited for it count.
pub(super) fn create(txn: &mut ScopedTxn<'_>, rows: &Rows, rig: Option<RigName>) -> Result<()> {
    put_new(txn, BeadRow { rig, ..rows.bead.clone() }, rows)?;
    graph::added(txn, &rows.bead.id)
}

/// Writes a bead that is not there, with what belongs to it besides its edges.
fn put_new(txn: &mut ScopedTxn<'_>, bead: BeadRow, rows: &Rows) -> Result<()> {
    let id = bead.id.clone();
    let facts = json!({ "kind": bead.kind, "title": bead.title });
    for label in &bead.labels {
        txn.put(LabelRow { bead: id.clone(), label: label.clone() })?;
    }
    txn.put_new(bead)?;
    if has_text(&rows.texts) {
        txn.put(rows.texts.clone())?;
    }
    rows.comments.iter().try_for_each(|comment| txn.put(comment.clone()))?;
    txn.event("bead.imported", &id, facts);
    Ok(())
}

fn has_text(texts: &BeadTextRow) -> bool {
    [&texts.description, &texts.design, &texts.acceptance, &texts.notes].into_iter().any(|text| !text.is_empty())
}

/// What a comment is known by in every town.
pub(super) fn key(comment: &CommentRow) -> (Timestamp, &str, &str) {
    (comment.created_at, &comment.author, &comment.text)
}

/// Writes comments, those under another identity whose own one is taken.
fn put_comments<'a>(
    txn: &mut ScopedTxn<'_>,
    comments: impl Iterator<Item = &'a CommentRow>,
    taken: &HashSet<&str>,
) -> Result<()> {
    for comment in comments {
        let mut comment = comment.clone();
        while taken.contains(comment.id.as_str()) {
            comment.id.push_str("-in");
        }
        txn.put(comment)?;
    }
    Ok(())
}

/// Adds the comments of a record that are not here; answers whether there are any.
fn add_comments(txn: &mut ScopedTxn<'_>, stored: &Stored, rows: &Rows) -> Result<bool> {
    let known: HashSet<_> = stored.comments.iter().map(key).collect();
    let new: Vec<&CommentRow> = rows.comments.iter().filter(|comment| !known.contains(&key(comment))).collect();
    if new.is_empty() {
        return Ok(false);
    }
    let ids = stored.comments.iter().map(|comment| comment.id.as_str()).collect();
    let mut bead = txn.bead(&stored.bead.id)?;
    bead.comments += i64::try_from(new.len()).unwrap_or(i64::MAX);
    put_comments(txn, new.iter().copied(), &ids)?;
    txn.put(bead)?;
    txn.event("bead.commented", &stored.bead.id, json!({ "imported": new.len() }));
    Ok(true)
}

/// Whether a kind is one that has nothing besides the bead.
pub(super) const fn is_simple(kind: BeadKind) -> bool {
    matches!(kind, BeadKind::Issue | BeadKind::Molecule | BeadKind::Step | BeadKind::Gate)
}

/// Has a bead say what a newer record says; what was said about it here stays. Answers where its end came with it.
pub(super) fn update(txn: &mut ScopedTxn<'_>, stored: &Stored, rows: &Rows) -> Result<Option<Ended>> {
    let (was, id) = (&stored.bead, &stored.bead.id);
    let known: HashSet<_> = rows.comments.iter().map(key).collect();
    let mut ids: HashSet<&str> = HashSet::new();
    for comment in &stored.comments {
        if known.contains(&key(comment)) {
            txn.delete(&Key::comment(id, &comment.id))?;
        } else {
            ids.insert(&comment.id);
        }
    }
    let own = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    put_comments(txn, rows.comments.iter(), &ids)?;
    for label in was.labels.iter().filter(|label| !rows.bead.labels.contains(label)) {
        txn.delete(&Key::label(id, label))?;
    }
    for label in rows.bead.labels.iter().filter(|label| !was.labels.contains(label)) {
        txn.put(LabelRow { bead: id.clone(), label: label.clone() })?;
    }
    if has_text(&rows.texts) || stored.texts.is_some() {
        txn.put(rows.texts.clone())?;
    }
    // What only this town knows of where it stands.
    let stands = was.status == rows.bead.status && was.source_status == rows.bead.source_status;
    let is_closed_alike = stands && was.close_reason == rows.bead.close_reason && !rows.says_resolution;
    let is_parked_alike = stands && !rows.says_parked;
    let kind = if is_simple(was.kind) && is_simple(rows.bead.kind) { rows.bead.kind } else { was.kind };
    let bead = BeadRow {
        kind,
        rig: was.rig.clone(),
        parent: was.parent.clone(),
        blockers: was.blockers,
        epoch: was.epoch,
        failures: was.failures,
        outages: was.outages,
        agent_failures: was.agent_failures,
        auth_failures: was.auth_failures,
        failure: was.failure.clone(),
        reworks: was.reworks,
        version: was.version + 1,
        rank: was.rank,
        parts: was.parts,
        open_parts: was.open_parts,
        last_part: was.last_part,
        comments: rows.bead.comments + own,
        resolution: if is_closed_alike { was.resolution } else { rows.bead.resolution },
        parked_reason: if is_parked_alike { was.parked_reason.clone() } else { rows.bead.parked_reason.clone() },
        parked_until: if is_parked_alike { was.parked_until } else { rows.bead.parked_until },
        ..rows.bead.clone()
    };
    let ended = Ended::of(was, &bead);
    graph::put_imported(txn, graph::Before::of(was), bead)?;
    txn.event("bead.imported", id, json!({ "from": was.updated_at, "to": rows.bead.updated_at }));
    Ok(ended)
}

/// Gives beads the edges that their records have, and no others.
fn take_edges<'a>(
    txn: &mut ScopedTxn<'_>,
    written: impl Iterator<Item = &'a Rows>,
    report: &mut ImportReport,
) -> Result<()> {
    let mut known = Known::default();
    for rows in written {
        for circle in graph::renew_edges(txn, &mut known, &rows.bead.id, &rows.edges)? {
            report.circle(circle);
        }
    }
    Ok(())
}

/// Takes a bead away; edges to it stay, as edges to what is not there. Answers these.
pub(super) fn bury(txn: &mut ScopedTxn<'_>, bead: &BeadRow) -> Result<Vec<Link>> {
    let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENTS, vec![text(&bead.id)], 0))?;
    graph::remove_bead(txn, &bead.id)?;
    let bead = txn.bead(&bead.id)?;
    beads::remove_own(txn, &bead)?;
    let mut loose = Vec::new();
    for edge in edges.into_iter().filter(|edge| edge.bead != bead.id) {
        loose.push(link(&edge));
        graph::import_edge(txn, edge)?;
    }
    txn.event("bead.deleted", &bead.id, json!({ "imported": true }));
    Ok(loose)
}

fn take_foreign(txn: &mut ScopedTxn<'_>, row: &ForeignRow, report: &mut ImportReport) -> Result<()> {
    let stored: Option<ForeignRow> = txn.find(&Key::foreign(&row.source, &row.name))?;
    if stored.as_ref().map(|stored| &stored.data) == Some(&row.data) {
        report.unchanged += 1;
        return Ok(());
    }
    report.foreign += 1;
    txn.put(row.clone())
}

/// The line that a record of another tool, or a tombstone, came as.
pub(super) fn kept_line(record: Option<&Json>) -> Option<&str> {
    record?.get(LINE)?.as_str()
}
