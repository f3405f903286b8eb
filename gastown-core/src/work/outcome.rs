//! Outcomes: what the end of a session leads to.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads;
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{breaker, convoys, drain, effects, reviews, sessions, settings, sling, triage};
use crate::model::{
    AgentRow, AgentState, BeadId, BeadRow, BeadStatus, Consequence, Fault, HookFate, Key, Oid, Order, Part, Resolution,
    Result, SessionExit, SessionId, SessionRow, SessionState, Setback, WorkspaceFate,
};
use crate::mutant::{self, Mutant};
use crate::store::{Scan, index};

/// The key of a bead's metadata under which the merge queue leaves what it wants mended.
pub(crate) const REWORK_KEY: &str = "gt:rework";

/// Why a bead failed, as it is stored with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word: `attempts_exhausted`, `agent_failures_exhausted`, `reworks_exhausted`, `given_up`.
    pub code: String,
    /// What happened, in words.
    pub message: String,
    /// Whose fault it was: `work`, `agent`, or `merge_queue`; `triage` where somebody gave it up.
    pub source: String,
}

/// How a session ended, as its executor found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// How.
    pub exit: SessionExit,
    /// Why, in words.
    pub reason: String,
    /// The commit it left on its branch, where that is new.
    pub head: Option<Oid>,
    /// A commit of what it had not committed.
    #[serde(default)]
    pub saved: Option<Oid>,
    /// Whether its workspace holds something that the machine kept us from bringing home.
    #[serde(default)]
    pub keep_workspace: bool,
}

impl Ended {
    /// The end of a session that left nothing.
    pub(crate) fn of(exit: SessionExit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into(), head: None, saved: None, keep_workspace: false }
    }
}

/// The start order was given up because nobody wants it any more.
pub(crate) fn start_unwanted(txn: &mut ScopedTxn<'_>, id: &SessionId) -> Result<()> {
    let session = sessions::row(txn.view(), id)?;
    if session.state == SessionState::Ended || session.started_at.is_some() {
        return Ok(());
    }
    let exit = if drain::of(txn.view())?.is_some() { SessionExit::Drained } else { SessionExit::Cancelled };
    end(txn, id, session.epoch, &Ended::of(exit, "stopped before it began"))
}

/// The session could not be started.
pub(crate) fn start_refused(txn: &mut ScopedTxn<'_>, id: &SessionId, setback: Setback, reason: &str) -> Result<()> {
    let session = sessions::row(txn.view(), id)?;
    let exit = if setback == Setback::Auth { SessionExit::AuthFailed } else { SessionExit::Refused };
    // Nobody knows what a start that was broken off brought up after all.
    if setback == Setback::Transient {
        effects::enqueue_again(txn, &Order::Stop { session: id.clone(), rig: session.rig.clone() })?;
    }
    end(txn, id, session.epoch, &Ended::of(exit, reason))
}

/// A start that was given up came up after all: where its session has ended, what it started is stopped.
pub(crate) fn started_late(txn: &mut ScopedTxn<'_>, id: &SessionId) -> Result<()> {
    let session = sessions::row(txn.view(), id)?;
    if session.state != SessionState::Ended {
        return Ok(());
    }
    effects::enqueue_again(txn, &Order::Stop { session: id.clone(), rig: session.rig }).map(drop)
}

/// Takes the outcome of a session; what carries a finished epoch is journaled and ignored.
pub(crate) fn end(txn: &mut ScopedTxn<'_>, id: &SessionId, epoch: i64, ended: &Ended) -> Result<()> {
    let mut session = sessions::row(txn.view(), id)?;
    if session.state == SessionState::Ended || session.epoch != epoch {
        txn.event("session.stale_report", id, json!({ "epoch": epoch, "report": ended }));
        return Ok(());
    }
    let superseded = !sessions::is_current(txn, &session)?;
    let head = left(txn.view(), &session, ended)?;
    let (exit, reason) = judge(&session, ended, head.is_some(), superseded);
    let consequence = exit.consequence();
    let keep_workspace = ended.keep_workspace && consequence.workspace == WorkspaceFate::KeptUnsaved;
    session.move_to(SessionState::Ended)?;
    session.exit = Some(exit);
    session.reason = Some(reason.clone());
    session.head.clone_from(&head);
    session.saved.clone_from(&ended.saved);
    session.ended_at = Some(txn.now());
    session.wake_at = None;
    let triage = session.triage.take();
    txn.put(session.clone())?;
    let agent = release(txn, &session)?;
    if !keep_workspace && !mutant::lives(Mutant::CleanupForgotten) {
        effects::enqueue(txn, &Order::Cleanup { session: id.clone(), rig: session.rig.clone() }, 1)?;
    }
    txn.event(
        "session.ended",
        id,
        json!({ "bead": session.bead, "epoch": epoch, "exit": exit, "reason": reason, "head": head,
            "saved": ended.saved, "workspace_kept": keep_workspace }),
    );
    if let Some(triage) = triage {
        breaker::settle_escalation(txn, &triage, "the session has ended")?;
    }
    let is_drained = consequence.hook == HookFate::Kept && drain::of(txn.view())?.is_some();
    if exit == SessionExit::Drained || is_drained {
        drain::save(txn, &session)?;
    }
    // The runtime's breaker is no rig's, and whoever stopped the session may see one rig only.
    let is_held = txn.as_town(|txn| tell_breaker(txn, &session, exit, &reason))?;
    if superseded {
        return Ok(());
    }
    let bead = txn.bead(&session.bead)?;
    let is_well = exit == SessionExit::Succeeded || consequence.fault == Some(Fault::Work);
    if bead.agent_failures > 0 && is_well {
        triage::settle(txn, &bead.id, "a session came to an end of its own")?;
    }
    match (exit, &head) {
        (SessionExit::Succeeded, Some(head)) => reviews::submit(txn, bead, &session, head),
        _ if consequence.hook == HookFate::Kept => go_on(txn, bead, agent, exit),
        _ => retry(txn, bead, exit, consequence, &reason, is_held),
    }
}

/// The commit that the session leaves: its own, or where it has none, the one that it was handed and did well with.
fn left(view: View<'_>, session: &SessionRow, ended: &Ended) -> Result<Option<Oid>> {
    if ended.head.is_some() || ended.exit != SessionExit::Succeeded {
        return Ok(ended.head.clone());
    }
    let carried = carried(view, &session.bead, session.epoch)?;
    Ok(carried.map(|carried| carried.head).filter(|head| session.base.as_ref() == Some(head)))
}

/// What an earlier session of a bead handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The commit that the next one starts from.
    pub(crate) head: Oid,
    /// The commit whose files lie in its workspace, not committed.
    pub(crate) saved: Option<Oid>,
}

/// What earlier sessions of the bead handed on, where no later one brought the work to its end.
pub(crate) fn carried(view: View<'_>, bead: &BeadId, before_epoch: i64) -> Result<Option<Carried>> {
    let earlier: Vec<SessionRow> = view.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(bead)], 0))?;
    let mut carried: Option<Carried> = None;
    for session in earlier.into_iter().filter(|session| session.epoch < before_epoch) {
        carried = match (session.exit, session.head, session.saved) {
            (Some(SessionExit::Succeeded), ..) => None,
            (Some(SessionExit::HandedOff | SessionExit::Drained), Some(head), saved) => Some(Carried { head, saved }),
            (Some(SessionExit::HandedOff | SessionExit::Drained), None, saved) => match (session.base, carried) {
                (Some(base), _) if saved.is_some() => Some(Carried { head: base, saved }),
                // It took what was handed to it, and put away what lay there.
                (Some(base), Some(before)) if before.head == base => Some(Carried { head: base, saved }),
                (_, before) => before,
            },
            _ => carried,
        };
    }
    Ok(carried)
}

/// The last commit of what an earlier session of the bead had not committed.
pub(crate) fn saved(view: View<'_>, bead: &BeadId, before_epoch: i64) -> Result<Option<Oid>> {
    let earlier: Vec<SessionRow> = view.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(bead)], 0))?;
    Ok(earlier.into_iter().rev().filter(|session| session.epoch < before_epoch).find_map(|session| session.saved))
}

/// What the end counts as.
fn judge(session: &SessionRow, ended: &Ended, has_head: bool, superseded: bool) -> (SessionExit, String) {
    let exit = match (ended.exit, session.ending) {
        _ if superseded => SessionExit::Superseded,
        (_, Some(ending @ (SessionExit::HandedOff | SessionExit::Drained))) => ending,
        (SessionExit::Drained, _) => SessionExit::Drained,
        (SessionExit::Succeeded, _) if has_head => SessionExit::Succeeded,
        // However it came to its end, it was asked to.
        (_, Some(ending)) => ending,
        _ if session.state == SessionState::Finishing => SessionExit::Cancelled,
        (SessionExit::Succeeded, None) => {
            let reason = "it ended well but left no commit on its branch".to_owned();
            return (SessionExit::ProtocolError, reason);
        }
        (exit, None) => exit,
    };
    (exit, effects::worded(&ended.reason, || format!("it ended as {exit}, and nobody said why")))
}

/// Takes the bead off the hook of the session's agent; answers the agent where it held it.
fn release(txn: &mut ScopedTxn<'_>, session: &SessionRow) -> Result<Option<AgentRow>> {
    if mutant::lives(Mutant::HookKept) {
        return Ok(None);
    }
    let held = txn.find::<AgentRow>(&Key::agent(&session.agent))?;
    let Some(mut agent) = held.filter(|agent| agent.session.as_ref() == Some(&session.id)) else { return Ok(None) };
    agent.hook = None;
    agent.since = txn.now();
    if agent.state == AgentState::Hooked {
        agent.state = AgentState::Idle;
    }
    txn.put(agent.clone())?;
    Ok(Some(agent))
}

/// Tells the breakers how a session ended; says whether they hold sessions of its rig back now.
fn tell_breaker(txn: &mut ScopedTxn<'_>, session: &SessionRow, exit: SessionExit, reason: &str) -> Result<bool> {
    match exit.fault() {
        Some(Fault::Infrastructure | Fault::Credentials) if session.started_at.is_some() => {
            let part = if exit == SessionExit::Lost { Part::Runtime } else { Part::Rig };
            breaker::failed(txn, part, &session.rig, &session.id, reason)?;
        }
        // The tries of its start were counted one by one.
        Some(Fault::Infrastructure | Fault::Credentials) => {}
        Some(Fault::Work | Fault::Agent) => breaker::well(txn, session)?,
        None if exit == SessionExit::Succeeded => breaker::well(txn, session)?,
        None => breaker::undecided(txn, &session.rig, &session.id)?,
    }
    Ok(breaker::holds(txn.town_view(), &session.rig)?.is_some())
}

/// What a fault leads to: its settings, and what happens where there are as many as may be.
struct Bound {
    most: &'static str,
    backoff: &'static str,
    /// The code with which the bead fails; it is parked where there is none.
    code: Option<&'static str>,
}

const fn bound(fault: Fault) -> Bound {
    let (most, backoff, code) = match fault {
        Fault::Work => ("failures.max", "failures.backoff_ms", Some("attempts_exhausted")),
        Fault::Agent => ("agent_failures.max", "agent_failures.backoff_ms", Some("agent_failures_exhausted")),
        Fault::Infrastructure => ("outages.max", "outages.backoff_ms", None),
        Fault::Credentials => ("auth_failures.max", "auth_failures.backoff_ms", None),
    };
    Bound { most, backoff, code }
}

/// The bead's counter of the fault.
fn counter(bead: &mut BeadRow, fault: Fault) -> &mut u32 {
    match fault {
        Fault::Work => &mut bead.failures,
        Fault::Agent => &mut bead.agent_failures,
        Fault::Infrastructure => &mut bead.outages,
        Fault::Credentials => &mut bead.auth_failures,
    }
}

/// Opens the bead for another attempt, parks it, or gives it up, by whose fault the exit was.
///
/// What a breaker answers for is not counted: the bead goes on when the breaker lets it.
fn retry(
    txn: &mut ScopedTxn<'_>,
    mut bead: BeadRow,
    exit: SessionExit,
    consequence: Consequence,
    reason: &str,
    held: bool,
) -> Result<()> {
    let is_outage = matches!(consequence.fault, Some(Fault::Infrastructure | Fault::Credentials));
    if !is_outage {
        bead.outages = 0;
        bead.auth_failures = 0;
    }
    let mut is_loop = false;
    match consequence.fault {
        None => bead.slung = false,
        Some(_) if is_outage && held => {}
        Some(fault) => {
            let rig = bead.rig.clone();
            let Bound { most, backoff, code } = bound(fault);
            let most: Option<u32> = settings::resolve(txn.view(), rig.as_ref(), most)?;
            let most = match most {
                Some(most) => most,
                None => settings::resolve(txn.view(), rig.as_ref(), "failures.max")?,
            };
            let count = counter(&mut bead, fault);
            *count = count.saturating_add(1);
            let count = *count;
            if count < most {
                let wait = settings::jittered(txn, rig.as_ref(), backoff, count)?;
                bead.wake_at = Some(txn.now().after(wait));
                is_loop = fault == Fault::Agent && triage::is_loop(txn.view(), &bead)?;
            } else if let Some(code) = code {
                let message = format!("{count} attempts failed; the last {exit}: {reason}");
                return fail(txn, bead, code, message, fault.as_str(), json!({ "exit": exit, "failures": count }));
            } else {
                let why = if fault == Fault::Credentials { "had no credentials" } else { "broke off" };
                bead.parked_reason = Some(format!("its sessions {why} {count} times: {reason}"));
                bead.parked_until = None;
                if let Some(convoy) = &bead.convoy {
                    txn.mark_dirty(convoy)?;
                }
            }
        }
    }
    bead.move_to(BeadStatus::Open, None, txn.now())?;
    bead.assignee = None;
    let id = bead.id.clone();
    let data = json!({
        "exit": exit, "fault": consequence.fault, "failures": bead.failures, "agent_failures": bead.agent_failures,
        "outages": bead.outages, "auth_failures": bead.auth_failures, "wake_at": bead.wake_at,
        "reason": bead.parked_reason, "held": held,
    });
    let kind = if bead.parked_reason.is_some() { "bead.parked" } else { "bead.retried" };
    let asked = is_loop.then(|| bead.clone());
    txn.put_bead(bead)?;
    txn.event(kind, &id, data);
    match asked {
        Some(bead) => triage::ask_of_bead(txn, &bead, reason),
        None => Ok(()),
    }
}

/// Has the same agent go on with the bead in a new session; where none may be started now, as soon as one may.
fn go_on(txn: &mut ScopedTxn<'_>, mut bead: BeadRow, agent: Option<AgentRow>, exit: SessionExit) -> Result<()> {
    bead.move_to(BeadStatus::Open, None, txn.now())?;
    bead.assignee = None;
    (bead.outages, bead.auth_failures) = (0, 0);
    let id = bead.id.clone();
    txn.put_bead(bead)?;
    let agent_name = agent.as_ref().map(|agent| &agent.name);
    txn.event("bead.handed_off", &id, json!({ "agent": agent_name, "exit": exit }));
    match agent {
        Some(agent) => sling::go_on(txn, &id, agent),
        None => Ok(()),
    }
}

/// Gives a bead up because somebody said so.
pub(crate) fn give_up(txn: &mut ScopedTxn<'_>, bead: BeadRow, why: &str) -> Result<()> {
    fail(txn, bead, "given_up", why.to_owned(), "triage", json!({}))
}

/// Gives a bead up; what that does to those that wait for it is its convoy's policy.
fn fail(
    txn: &mut ScopedTxn<'_>,
    mut bead: BeadRow,
    code: &str,
    message: String,
    source: &str,
    mut data: serde_json::Value,
) -> Result<()> {
    let (id, convoy) = (bead.id.clone(), bead.convoy.clone());
    let failure = Failure { code: code.to_owned(), message, source: source.to_owned() };
    data["failure"] = json!(failure);
    bead.failure = Some(json!(failure));
    beads::settle(txn, bead, BeadStatus::Failed, Resolution::AttemptsExhausted, data)?;
    triage::settle(txn, &id, "the bead failed")?;
    match convoy {
        Some(convoy) => convoys::member_failed(txn, &convoy, &id),
        None => Ok(()),
    }
}

/// Sends a bead in review back to be worked on again.
pub(crate) fn rework(txn: &mut ScopedTxn<'_>, id: &BeadId, what: serde_json::Value) -> Result<()> {
    let mut bead = txn.bead(id)?;
    if bead.status != BeadStatus::InReview {
        return Ok(());
    }
    bead.reworks += 1;
    let most: u32 = settings::resolve(txn.view(), bead.rig.as_ref(), "reworks.max")?;
    if bead.reworks > most {
        let said = what["reason"].as_str().unwrap_or("the merge queue wants it mended");
        let message = format!("it was sent back more than {most} times; the last time: {said}");
        let data = json!({ "reworks": most, "rework": what });
        return fail(txn, bead, "reworks_exhausted", message, "merge_queue", data);
    }
    bead.move_to(BeadStatus::Open, None, txn.now())?;
    bead.assignee = None;
    bead.slung = true;
    bead.slung_at = bead.slung_at.or(Some(txn.now()));
    bead.wake_at = None;
    beads::merge_metadata(&mut bead.metadata, &json!({ REWORK_KEY: what }));
    txn.put_bead(bead)?;
    txn.event("bead.sent_back", id, what);
    Ok(())
}
