//! Orphans: processes, folders and branches that no session and no bead needs any more.
//!
//! What is there outside is listed first and asked about here afterwards: what begins has its row before anything of it
//! is outside, so nothing that has just begun looks like an orphan.

use std::time::Duration;

use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{effects, settings};
use crate::model::text_enum::text_enum;
use crate::model::{
    BeadId, BeadRow, BeadStatus, EffectRow, EffectState, Key, MergeRequestRow, Oid, Order, Result, RigName, SessionId,
    SessionRow, SessionState, Timestamp,
};
use crate::store::{Scan, index};

text_enum! {
    /// What an orphan is.
    pub enum OrphanKind = "kind of orphan" {
        /// A process that no session or gate of the town goes with.
        Process = "process",
        /// The folder of a session that is over.
        Workspace = "workspace",
        /// The tree of a gate that is over.
        GateTree = "gate_tree",
        /// A branch of this machine's mirror: what a session committed, or had not committed.
        MirrorBranch = "mirror_branch",
        /// A branch that the town put at the remote.
        RemoteBranch = "remote_branch",
    }
}

/// Something that nobody needs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphan {
    /// What it is.
    pub(crate) kind: OrphanKind,
    /// Its name: a session's id, a gate's, a branch.
    pub(crate) subject: String,
    /// Where, if it belongs to a rig.
    pub(crate) rig: Option<RigName>,
    /// What a branch holds.
    pub(crate) holds: Option<Oid>,
    /// Why nobody needs it.
    pub(crate) why: &'static str,
    /// When it may go; none where nobody knows what it held, so that only a person removes it.
    pub(crate) due: Option<Timestamp>,
}

/// What there is outside, as it was listed before the rows are asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outdoors {
    /// Sessions and gates whose process runs.
    pub(crate) processes: Vec<SessionId>,
    /// Sessions that have a folder.
    pub(crate) workspaces: Vec<SessionId>,
    /// Gates that have a tree.
    pub(crate) gates: Vec<SessionId>,
    /// The town's branches in the mirrors: the rig, the branch, and what it holds.
    pub(crate) branches: Vec<(RigName, String, Oid)>,
}

/// Says what of it nobody needs any more.
pub(crate) fn find(view: View<'_>, there: &Outdoors) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    let plain =
        |kind, id: &SessionId, rig, why, due| Orphan { kind, subject: id.to_string(), rig, holds: None, why, due };
    let now = Some(view.now());
    for id in &there.processes {
        if let Some(why) = process(view, id)? {
            found.push(plain(OrphanKind::Process, id, None, why, now));
        }
    }
    let keep = settings::duration(view, None, "orphans.keep_ms")?;
    for id in &there.workspaces {
        if let Some((rig, why, due)) = workspace(view, id, keep)? {
            found.push(plain(OrphanKind::Workspace, id, rig, why, due));
        }
    }
    for id in &there.gates {
        if let Some((rig, why)) = gate(view, id)? {
            found.push(plain(OrphanKind::GateTree, id, rig, why, now));
        }
    }
    for (rig, branch, holds) in &there.branches {
        if let Some((kind, why, due)) = stray(view, branch, holds, keep)? {
            let (subject, rig, holds) = (branch.clone(), Some(rig.clone()), Some(holds.clone()));
            found.push(Orphan { kind, subject, rig, holds, why, due });
        }
    }
    found.extend(put_away(view, keep)?);
    Ok(found)
}

/// What drained sessions left at the remote, and whose bead is over without having been merged.
fn put_away(view: View<'_>, keep: Duration) -> Result<Vec<Orphan>> {
    let prefix = vec![text(EffectState::Confirmed.as_str()), text("save")];
    let effects: Vec<EffectRow> = view.all(Scan::new(&index::EFFECTS_BY_KIND, prefix, 0))?;
    let mut found = Vec::new();
    for effect in effects {
        // One that cannot be read is told by its own.
        let Ok(Order::Save { session, rig, branch, head }) = effect.order() else { continue };
        let Some(session) = view.find::<SessionRow>(&Key::session(&session))? else { continue };
        let bead: Option<BeadRow> = view.find(&Key::bead(&session.bead))?;
        let Some(closed) = bead.filter(|bead| bead.status == BeadStatus::Closed).and_then(|bead| bead.closed_at) else {
            continue;
        };
        if !was_removed(view, &branch)? {
            found.push(Orphan {
                kind: OrphanKind::RemoteBranch,
                subject: branch,
                rig: Some(rig),
                holds: Some(head),
                why: OVER,
                due: Some(closed.after(keep)),
            });
        }
    }
    Ok(found)
}

/// Has a branch at the remote removed where it still holds what it held.
pub(crate) fn remove_remote(txn: &mut ScopedTxn<'_>, orphan: &Orphan) -> Result<()> {
    let (Some(rig), Some(expected)) = (orphan.rig.clone(), orphan.holds.clone()) else { return Ok(()) };
    let order = Order::DeleteBranch { rig, branch: orphan.subject.clone(), expected, work: Vec::new() };
    effects::enqueue(txn, &order, 1)
}

fn process(view: View<'_>, id: &SessionId) -> Result<Option<&'static str>> {
    if id.as_str().starts_with(GATE) {
        return Ok(gate(view, id)?.map(|(_, why)| why));
    }
    let row: Option<SessionRow> = view.find(&Key::session(id))?;
    Ok(match row {
        None => Some("the town knows no such session"),
        Some(row) if row.state != SessionState::Ended => None,
        Some(_) if is_under_way(view, "stop", id.as_str())? => None,
        Some(_) => Some("its session has ended"),
    })
}

fn workspace(view: View<'_>, id: &SessionId, keep: Duration) -> Result<Option<Over>> {
    let row: Option<SessionRow> = view.find(&Key::session(id))?;
    let Some(row) = row else { return Ok(Some((None, "the town knows no such session", None))) };
    let Some(ended) = row.ended_at.filter(|_| row.state == SessionState::Ended) else { return Ok(None) };
    if is_under_way(view, "cleanup", id.as_str())? {
        return Ok(None);
    }
    Ok(Some((Some(row.rig), "its session has ended", Some(ended.after(keep)))))
}

/// What belongs to something that is over: the rig, why nobody needs it, and when it may go.
type Over = (Option<RigName>, &'static str, Option<Timestamp>);

/// How the names of gates begin: the merge request and the commit follow.
const GATE: &str = "gate-";

fn gate(view: View<'_>, id: &SessionId) -> Result<Option<(Option<RigName>, &'static str)>> {
    let review = id.as_str().strip_prefix(GATE).and_then(|rest| rest.rsplit_once('-')).map(|(review, _)| review);
    let Some(review) = review.and_then(|review| BeadId::new(review).ok()) else {
        return Ok(Some((None, "it is named like no gate")));
    };
    let row: Option<MergeRequestRow> = view.find(&Key::merge_request(&review))?;
    Ok(match row {
        None => Some((None, "the town knows no such merge request")),
        Some(row) if !row.state.is_terminal() => None,
        Some(_) if is_under_way(view, "gate", review.as_str())? => None,
        Some(row) => Some((Some(row.rig), "its merge request is over")),
    })
}

/// What a branch of the town's families is an orphan of.
fn stray(
    view: View<'_>,
    branch: &str,
    holds: &Oid,
    keep: Duration,
) -> Result<Option<(OrphanKind, &'static str, Option<Timestamp>)>> {
    if branch.starts_with("gt/convoy/") || is_being_removed(view, branch)? {
        return Ok(None);
    }
    let (kind, bead) = match branch.split('/').collect::<Vec<_>>()[..] {
        ["gt", "work", bead, _] => (OrphanKind::MirrorBranch, bead),
        // What was put at the remote goes there and here at once.
        ["gt", "saved", of] if was_put(view, of)? => return Ok(None),
        ["gt", "saved", of] => (OrphanKind::MirrorBranch, of.rsplit_once('.').map_or(of, |(bead, _)| bead)),
        ["gt", bead] => (OrphanKind::RemoteBranch, bead),
        _ => return Ok(None),
    };
    let row: Option<BeadRow> = match BeadId::new(bead) {
        Ok(id) => view.find(&Key::bead(&id))?,
        Err(_) => None,
    };
    let Some(row) = row else {
        // A bead may have another id now; at the remote it may be another town's.
        let is_ours = kind == OrphanKind::MirrorBranch && !is_live(view, branch)?;
        return Ok(is_ours.then_some((kind, "the town knows no such bead", None)));
    };
    // One that failed may be opened again, and goes on from what is there.
    let is_over = row.status == BeadStatus::Closed && !is_being_removed(view, &format!("gt/{bead}"))?;
    let Some(closed) = row.closed_at.filter(|_| is_over) else { return Ok(None) };
    if kind == OrphanKind::RemoteBranch && !was_published(view, &row.id, holds)? {
        return Ok(None);
    }
    // One try; a branch that somebody moved is theirs.
    let is_moved = kind == OrphanKind::RemoteBranch && was_removed(view, branch)?;
    Ok(Some((kind, OVER, (!is_moved).then(|| closed.after(keep)))))
}

/// Whether a session that is not over works on the branch.
fn is_live(view: View<'_>, branch: &str) -> Result<bool> {
    for state in [SessionState::Planned, SessionState::Starting, SessionState::Running, SessionState::Finishing] {
        let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0);
        if view.all::<SessionRow>(scan)?.iter().any(|session| session.branch == branch) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a merge request of the bead, none of which is open, put that commit there.
fn was_published(view: View<'_>, bead: &BeadId, holds: &Oid) -> Result<bool> {
    let reviews: Vec<MergeRequestRow> = view.all(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(bead)], 0))?;
    Ok(reviews.iter().all(|review| review.state.is_terminal()) && reviews.iter().any(|review| review.head == *holds))
}

/// Why a branch is an orphan.
const OVER: &str = "its bead is over";

/// Whether what a session left, named by its bead and epoch, was put at the remote.
fn was_put(view: View<'_>, of: &str) -> Result<bool> {
    let Some((bead, epoch)) = of.rsplit_once('.') else { return Ok(false) };
    let id = effects::id_of("save", &format!("s-{bead}-{epoch}"), 1)?;
    Ok(view.find::<EffectRow>(&Key::effect(&id))?.is_some_and(|row| row.state == EffectState::Confirmed))
}

/// Whether a branch's removal was wanted before, whatever came of it.
fn was_removed(view: View<'_>, branch: &str) -> Result<bool> {
    let id = effects::id_of("delete_branch", &branch.replace('/', "-"), 1)?;
    Ok(view.find::<EffectRow>(&Key::effect(&id))?.is_some())
}

/// Whether a branch is on its way out; those that went into it go with it.
fn is_being_removed(view: View<'_>, branch: &str) -> Result<bool> {
    is_under_way(view, "delete_branch", &branch.replace('/', "-"))
}

/// Whether an effect of the kind about the subject waits or is being done.
fn is_under_way(view: View<'_>, kind: &str, subject: &str) -> Result<bool> {
    for state in [EffectState::Planned, EffectState::Issued, EffectState::Ambiguous, EffectState::Probing] {
        let scan = Scan::new(&index::EFFECTS_BY_KIND, vec![text(state.as_str()), text(kind)], 0);
        let prefix = format!("{kind}#{subject}#");
        if view.all::<EffectRow>(scan)?.iter().any(|effect| effect.id.as_str().starts_with(&prefix)) {
            return Ok(true);
        }
    }
    Ok(false)
}
