//! Triage: what the engine cannot judge is laid before somebody with the few things that can be done about it.
//!
//! A request is an escalation that names what it is about, at which epoch, and its options. Answering it does one of them,
//! in the same transaction, where things still are as they were then. Whoever answers, a person, the mayor or an agent of
//! the host's, is a caller like any other. When the matter settles by itself, the request is closed.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, NewBead};
use super::fields::check_reason;
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{All, effects, outcome, sessions, settings};
use crate::model::text_enum::text_enum;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, Error, Order, Resolution, Result, RigName, SessionExit, SessionId,
    SessionRow, SessionState, Timestamp,
};
use crate::store::{Scan, index};

/// Where an escalation says what it asks.
const KEY: &str = "gt:triage";

text_enum! {
    /// What a request is about.
    pub enum TriageKind = "kind of triage" {
        /// A session lives and shows nothing for long.
        StuckSession = "stuck_session",
        /// The sessions of a bead break again and again.
        CrashLoop = "crash_loop",
    }
}

text_enum! {
    /// What can be done about it.
    pub enum TriageAction = "triage action" {
        /// Nothing yet: it has its time anew.
        Wait = "wait",
        /// The agent is poked.
        Nudge = "nudge",
        /// Another session goes on at once, from what this one leaves; or without the wait.
        Restart = "restart",
        /// The session is stopped, as stalled; another follows after a wait, and it counts as a failure of the agent.
        RestartLater = "restart_later",
        /// The session is stopped; its bead is open, and nobody has it.
        Stop = "stop",
        /// The bead is set aside.
        Park = "park",
        /// The bead is given up as failed.
        Fail = "fail",
    }
}

impl TriageKind {
    /// What may be chosen: the one table of it.
    pub const fn options(self) -> &'static [TriageAction] {
        use TriageAction as A;
        match self {
            Self::StuckSession => &[A::Wait, A::Nudge, A::Restart, A::RestartLater, A::Stop],
            Self::CrashLoop => &[A::Wait, A::Restart, A::Park, A::Fail],
        }
    }
}

/// What a request is about, as its escalation keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Matter {
    kind: TriageKind,
    bead: BeadId,
    epoch: i64,
    session: Option<SessionId>,
}

/// Something that somebody has to judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TriageRequest {
    /// The escalation.
    pub id: BeadId,
    /// What it is about.
    pub kind: TriageKind,
    /// What happened, in a line.
    pub title: String,
    /// Where.
    pub rig: Option<RigName>,
    /// The bead that is worked on.
    pub bead: BeadId,
    /// The epoch that it is about; an answer for another one is refused.
    pub epoch: i64,
    /// The session, where it is about one.
    pub session: Option<SessionId>,
    /// What may be chosen.
    pub options: Vec<TriageAction>,
    /// Since when it waits.
    pub created_at: Timestamp,
}

/// The open requests, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriageList {
    /// The requests.
    pub requests: Vec<TriageRequest>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveTriage {
    /// Which request: its escalation.
    pub id: BeadId,
    /// What is done.
    pub action: TriageAction,
    /// Why, for the journal; it is what a bead is parked or failed with.
    #[serde(default)]
    pub note: Option<String>,
}

/// Lists what waits for somebody's judgement.
pub(crate) fn list(view: View<'_>, _: &All) -> Result<TriageList> {
    let open = open(view)?.into_iter();
    Ok(TriageList { requests: open.map(|(row, matter)| request(row, matter)).collect() })
}

fn request(row: BeadRow, matter: Matter) -> TriageRequest {
    TriageRequest {
        id: row.id,
        kind: matter.kind,
        title: row.title,
        rig: row.rig,
        bead: matter.bead,
        epoch: matter.epoch,
        session: matter.session,
        options: matter.kind.options().to_vec(),
        created_at: row.created_at,
    }
}

fn open(view: View<'_>) -> Result<Vec<(BeadRow, Matter)>> {
    let prefix = vec![text(BeadKind::Escalation.as_str()), text(BeadStatus::Open.as_str())];
    let rows: Vec<BeadRow> = view.all(Scan::new(&index::BEADS_BY_STATUS, prefix, 0))?;
    Ok(rows.into_iter().filter_map(|row| matter(&row).map(|matter| (row, matter))).collect())
}

fn matter(row: &BeadRow) -> Option<Matter> {
    serde_json::from_value(row.metadata.get(KEY)?.clone()).ok()
}

/// Asks about a session that lives and shows nothing; none where as many requests are open as may be.
pub(crate) fn ask_of_session(
    txn: &mut ScopedTxn<'_>,
    session: &SessionRow,
    title: &str,
    about: String,
) -> Result<Option<BeadId>> {
    let matter = Matter {
        kind: TriageKind::StuckSession,
        bead: session.bead.clone(),
        epoch: session.epoch,
        session: Some(session.id.clone()),
    };
    ask(txn, &session.rig, &matter, title, about)
}

/// Asks about a bead whose sessions break again and again.
pub(crate) fn ask_of_bead(txn: &mut ScopedTxn<'_>, bead: &BeadRow, reason: &str) -> Result<()> {
    let Some(rig) = bead.rig.clone() else { return Ok(()) };
    let matter = Matter { kind: TriageKind::CrashLoop, bead: bead.id.clone(), epoch: bead.epoch, session: None };
    let title = format!("Sessions of {} break again and again", bead.id);
    let about = format!("{} of them broke off by their agent's fault; the last: {reason}", bead.agent_failures);
    ask(txn, &rig, &matter, &title, about).map(drop)
}

fn ask(txn: &mut ScopedTxn<'_>, rig: &RigName, matter: &Matter, title: &str, about: String) -> Result<Option<BeadId>> {
    let most: usize = settings::resolve(txn.town_view(), None, "triage.open_max")?;
    let before = open(txn.town_view())?;
    if let Some((row, _)) = before.iter().find(|(_, known)| (known.kind, &known.bead) == (matter.kind, &matter.bead)) {
        return Ok(Some(row.id.clone()));
    }
    if before.len() >= most {
        let data = json!({ "kind": matter.kind, "open": before.len(), "about": about });
        txn.event("triage.skipped", &matter.bead, data);
        return Ok(None);
    }
    let new = NewBead { description: about, priority: 1, rig: Some(rig.clone()), ..NewBead::titled(title) };
    let mut row = beads::insert(txn, BeadKind::Escalation, &new, None)?;
    beads::merge_metadata(&mut row.metadata, &json!({ KEY: matter }));
    let id = row.id.clone();
    txn.put_bead(row)?;
    txn.event("escalation.raised", &id, json!({ "title": title, "why": "triage", "kind": matter.kind }));
    Ok(Some(id))
}

/// Closes what was asked about a bead whose sessions do well again, or that is over.
pub(crate) fn settle(txn: &mut ScopedTxn<'_>, bead: &BeadId, why: &str) -> Result<()> {
    for (row, matter) in open(txn.town_view())? {
        if matter.kind == TriageKind::CrashLoop && matter.bead == *bead {
            beads::settle(txn, row, BeadStatus::Closed, Resolution::Completed, json!({ "reason": why }))?;
        }
    }
    Ok(())
}

/// Does what was chosen, where things are still as they were when it was asked, and closes the request.
pub(crate) fn resolve(txn: &mut ScopedTxn<'_>, input: &ResolveTriage) -> Result<TriageRequest> {
    check_reason(input.note.as_deref())?;
    let row = txn.bead(&input.id)?;
    let Some(matter) = matter(&row) else {
        return Err(Error::invalid("not_a_triage_request", format!("bead {} asks nothing", input.id))
            .with("bead", &input.id)
            .with("kind", row.kind));
    };
    if row.status.is_terminal() {
        return Err(Error::conflict("triage_closed", format!("request {} was settled", input.id))
            .with("bead", &input.id)
            .with("reason", row.close_reason.as_deref().unwrap_or_default()));
    }
    let options = matter.kind.options();
    if !options.contains(&input.action) {
        let words: Vec<&str> = options.iter().map(|option| option.as_str()).collect();
        return Err(Error::invalid(
            "triage_option",
            format!("{} is no option of a {}: {}", input.action, matter.kind, words.join(", ")),
        )
        .with("field", "action")
        .with("found", input.action)
        .with("options", words.join(",")));
    }
    match matter.kind {
        TriageKind::StuckSession => of_session(txn, &matter, input.action)?,
        TriageKind::CrashLoop => of_bead(txn, &matter, input)?,
    }
    let answer = request(row.clone(), matter);
    let said = json!({ "action": input.action, "note": input.note, "reason": format!("answered: {}", input.action) });
    txn.event(
        "triage.resolved",
        &answer.bead,
        json!({ "request": input.id, "action": input.action, "note": input.note }),
    );
    // What was done may have settled it.
    let row = txn.bead(&input.id)?;
    if !row.status.is_terminal() {
        beads::settle(txn, row, BeadStatus::Closed, Resolution::Completed, said)?;
    }
    Ok(answer)
}

fn stale(matter: &Matter, now: impl std::fmt::Display) -> Error {
    Error::conflict("triage_stale", format!("it was asked about epoch {} of {}; now {now}", matter.epoch, matter.bead))
        .with("bead", &matter.bead)
        .with("epoch", matter.epoch)
}

fn of_session(txn: &mut ScopedTxn<'_>, matter: &Matter, action: TriageAction) -> Result<()> {
    let Some(id) = &matter.session else { return Err(stale(matter, "no session is known")) };
    let mut session = sessions::row(txn.view(), id)?;
    if session.state != SessionState::Running || session.epoch != matter.epoch {
        return Err(stale(matter, format!("session {id} is {}", session.state)));
    }
    session.triage = None;
    let exit = match action {
        TriageAction::Restart => SessionExit::HandedOff,
        TriageAction::RestartLater => SessionExit::Stalled,
        TriageAction::Stop => SessionExit::Cancelled,
        _ => {
            session.stall = None;
            session.last_progress = Some(txn.now());
            let (id, bead, rig) = (session.id.clone(), session.bead.clone(), session.rig.clone());
            txn.put(session)?;
            if action == TriageAction::Nudge {
                effects::enqueue_again(txn, &Order::Nudge { session: id, bead, rig })?;
            }
            return Ok(());
        }
    };
    txn.put(session)?;
    sessions::bring_to_end(txn, id, exit)
}

fn of_bead(txn: &mut ScopedTxn<'_>, matter: &Matter, input: &ResolveTriage) -> Result<()> {
    let mut bead = txn.bead(&matter.bead)?;
    if bead.epoch != matter.epoch || bead.status != BeadStatus::Open {
        return Err(stale(matter, format!("it is {} in epoch {}", bead.status, bead.epoch)));
    }
    let note = input.note.clone().unwrap_or_else(|| "its sessions broke again and again".to_owned());
    match input.action {
        TriageAction::Restart => bead.wake_at = None,
        TriageAction::Park => {
            bead.parked_reason = Some(note);
            bead.parked_until = None;
        }
        TriageAction::Fail => return outcome::give_up(txn, bead, &note),
        _ => return Ok(()),
    }
    let convoy = bead.convoy.clone();
    txn.put_bead(bead)?;
    match convoy {
        Some(convoy) => txn.mark_dirty(&convoy),
        None => Ok(()),
    }
}

/// Whether somebody is to be asked about a bead, with so many of its sessions broken.
pub(crate) fn is_loop(view: View<'_>, bead: &BeadRow) -> Result<bool> {
    let from: Option<u32> = settings::resolve(view, bead.rig.as_ref(), "triage.crashes")?;
    Ok(from.is_some_and(|from| bead.agent_failures.is_multiple_of(from)))
}
