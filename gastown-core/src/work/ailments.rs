//! What rows say that no rule leads to: a hook without its session, a bead in work that nobody works on.
//!
//! Commands and rules leave no such thing behind; a hand in the tables, a row that was given up, or a defect may. Each is
//! found at the cost of what goes on, and mended by the same transitions as everything else.

use serde_json::json;

use super::sessions;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::text_enum::text_enum;
use crate::model::{
    AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, Key, MergeRequestRow, Result, SessionExit, SessionId,
    SessionRow, SessionState,
};
use crate::store::{Scan, index};

text_enum! {
    /// What is wrong between rows.
    pub enum AilmentKind = "kind of ailment" {
        /// An agent holds a bead with a session that is over or not there.
        HookOrphaned = "hook_orphaned",
        /// A session goes on for an epoch that its bead is not in.
        SessionOrphaned = "session_orphaned",
        /// A session that is under way is looked at by nobody.
        SessionUnwatched = "session_unwatched",
        /// A bead is in work, and no session works on it.
        BeadUnheld = "bead_unheld",
        /// A bead is in review, and no merge request is open for it.
        ReviewMissing = "review_missing",
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ailment {
    /// What.
    pub(crate) kind: AilmentKind,
    /// With which agent (its bead), session or bead.
    pub(crate) subject: String,
    /// What is wrong with it, in words.
    pub(crate) problem: String,
}

/// Finds all of them.
pub(crate) fn find(view: View<'_>) -> Result<Vec<Ailment>> {
    let mut found = Vec::new();
    let agents: Vec<AgentRow> = view.all(Scan::new(&index::AGENTS_BUSY, vec![], 0))?;
    for agent in agents {
        if let Some(problem) = hook(view, &agent)? {
            found.push(Ailment { kind: AilmentKind::HookOrphaned, subject: agent.id.to_string(), problem });
        }
    }
    for session in live(view)? {
        let subject = session.id.to_string();
        if session.state != SessionState::Finishing
            && let Some(problem) = left_behind(view, &session)?
        {
            found.push(Ailment { kind: AilmentKind::SessionOrphaned, subject, problem });
        } else if session.wake_at.is_none() && session.state != SessionState::Planned {
            let problem = format!("session {subject} is {} and nobody looks at it", session.state);
            found.push(Ailment { kind: AilmentKind::SessionUnwatched, subject, problem });
        }
    }
    for status in [BeadStatus::InProgress, BeadStatus::InReview] {
        let prefix = vec![text(BeadKind::Issue.as_str()), text(status.as_str())];
        let beads: Vec<BeadRow> = view.all(Scan::new(&index::BEADS_BY_STATUS, prefix, 0))?;
        for bead in beads {
            found.extend(abandoned(view, &bead)?);
        }
    }
    Ok(found)
}

/// Mends one, where it is still there; says whether it did.
pub(crate) fn heal(txn: &mut ScopedTxn<'_>, ailment: &Ailment) -> Result<bool> {
    if !find(txn.view())?.contains(ailment) {
        return Ok(false);
    }
    match ailment.kind {
        AilmentKind::HookOrphaned => {
            let id = BeadId::new(ailment.subject.clone())?;
            let Some(mut agent) = txn.find::<AgentRow>(&Key::agent(&id))? else { return Ok(false) };
            agent.hook = None;
            agent.session = None;
            agent.since = txn.now();
            if agent.state == AgentState::Hooked {
                agent.state = AgentState::Idle;
            }
            txn.put(agent)?;
        }
        AilmentKind::SessionOrphaned => {
            let id = SessionId::new(ailment.subject.clone())?;
            match sessions::row(txn.view(), &id)?.state {
                SessionState::Running => sessions::bring_to_end(txn, &id, SessionExit::Superseded)?,
                // Its start is no longer wanted, and ends it.
                _ => return Ok(false),
            }
        }
        AilmentKind::SessionUnwatched => {
            let mut session = sessions::row(txn.view(), &SessionId::new(ailment.subject.clone())?)?;
            session.wake_at = Some(txn.now());
            txn.put_volatile(session)?;
        }
        AilmentKind::BeadUnheld => reopen(txn, &ailment.subject, None)?,
        AilmentKind::ReviewMissing => reopen(txn, &ailment.subject, Some(&ailment.problem))?,
    }
    txn.event("doctor.healed", &ailment.subject, json!({ "kind": ailment.kind, "problem": ailment.problem }));
    Ok(true)
}

/// Opens a bead again: for its next session, or for somebody who looks what became of its change.
fn reopen(txn: &mut ScopedTxn<'_>, id: &str, parked: Option<&str>) -> Result<()> {
    let mut bead = txn.bead(&BeadId::new(id)?)?;
    bead.move_to(BeadStatus::Open, None, txn.now())?;
    bead.assignee = None;
    if let Some(reason) = parked {
        bead.parked_reason = Some(reason.to_owned());
        bead.parked_until = None;
    }
    let convoy = bead.convoy.clone();
    txn.put_bead(bead)?;
    match convoy {
        Some(convoy) => txn.mark_dirty(&convoy),
        None => Ok(()),
    }
}

fn hook(view: View<'_>, agent: &AgentRow) -> Result<Option<String>> {
    let (Some(hook), Some(session)) = (&agent.hook, &agent.session) else { return Ok(None) };
    let said = |what: String| Ok(Some(format!("agent {} holds {hook}, {what}", agent.name)));
    match view.find::<SessionRow>(&Key::session(session))? {
        None => said(format!("and its session {session} is not there")),
        Some(row) if row.state == SessionState::Ended => said(format!("and its session {session} has ended")),
        Some(row) if row.bead != *hook => said(format!("and its session {session} works on {}", row.bead)),
        Some(_) => Ok(None),
    }
}

fn left_behind(view: View<'_>, session: &SessionRow) -> Result<Option<String>> {
    let bead: Option<BeadRow> = view.find(&Key::bead(&session.bead))?;
    Ok(match bead {
        None => Some(format!("session {} works on {}, which is not there", session.id, session.bead)),
        Some(bead) if bead.epoch != session.epoch => {
            Some(format!("session {} is of epoch {}, its bead of {}", session.id, session.epoch, bead.epoch))
        }
        Some(bead) if bead.status != BeadStatus::InProgress => {
            Some(format!("session {} works on {}, which is {}", session.id, bead.id, bead.status))
        }
        Some(_) => None,
    })
}

fn abandoned(view: View<'_>, bead: &BeadRow) -> Result<Option<Ailment>> {
    let subject = bead.id.to_string();
    if bead.status == BeadStatus::InProgress {
        // One that somebody claimed has no session.
        if !bead.slung {
            return Ok(None);
        }
        let sessions: Vec<SessionRow> = view.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(&bead.id)], 0))?;
        let is_held = sessions.iter().any(|row| row.epoch == bead.epoch && row.state != SessionState::Ended);
        let problem = format!("bead {subject} is in work, and no session works on it");
        return Ok((!is_held).then_some(Ailment { kind: AilmentKind::BeadUnheld, subject, problem }));
    }
    let reviews: Vec<MergeRequestRow> = view.all(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(&bead.id)], 0))?;
    if reviews.iter().any(|review| !review.state.is_terminal()) {
        return Ok(None);
    }
    let problem = format!("bead {subject} is in review, and no merge request is open for it");
    Ok(Some(Ailment { kind: AilmentKind::ReviewMissing, subject, problem }))
}

fn live(view: View<'_>) -> Result<Vec<SessionRow>> {
    let mut found = Vec::new();
    for state in [SessionState::Planned, SessionState::Starting, SessionState::Running, SessionState::Finishing] {
        found.extend(view.all(Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0))?);
    }
    Ok(found)
}
