//! What goes on in a town, at one look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::health::Breaker;
use crate::model::{
    AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, BreakerRow, BreakerState, ConvoyState, EffectState,
    LeaderRow, Result, ReviewState, RigName, RigRow, RigState, Role, SessionRow, SessionState, Timestamp, TownRow,
};
use crate::store::Scan;
use crate::store::index::{self, Index};
use crate::work::view::{View, text};
use crate::work::{All, Draining, Session, TownPause, breaker, drain, effects, liveness};

/// The most stalled sessions and open escalations that are named.
const NAMED_MAX: usize = 100;
/// The most rigs and groups of agents.
const GROUPS_MAX: usize = 10_000;
/// The last entries of the journal that are shown.
const RECENT: u64 = 20;

/// What goes on in a town, at one moment.
///
/// What is over is not counted, so that it costs as much as what goes on, in a town of any age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TownStatus {
    /// When.
    pub at: Timestamp,
    /// Where the journal ends.
    pub head: u64,
    /// Who runs the engine; none where nobody ever did.
    pub leader: Option<LeaderStatus>,
    /// How far the drain of the engine's host is; none where it does not drain.
    pub draining: Option<Draining>,
    /// Whether the whole town is paused.
    pub pause: TownPause,
    /// The next deadline of a bead, a session, an effect, a breaker or a pause; none where only changes are waited for.
    pub next_wake: Option<Timestamp>,
    /// The rigs by name.
    pub rigs: Vec<RigStatus>,
    /// How many agents of which rig and role do what, the retired too.
    pub agents: Vec<AgentCount>,
    /// How many beads are open, in progress, in review or failed.
    pub beads: Vec<BeadsOfKind>,
    /// Slung beads that wait for an agent or for their turn.
    pub slung: u64,
    /// Agents that have a bead on their hook and no session yet.
    pub hooks_waiting: u64,
    /// How many sessions are planned, start, run or are being stopped.
    pub sessions: Vec<StateCount<SessionState>>,
    /// Sessions that live and make no progress, those that began first in front, at most 100.
    pub stalled: Vec<Session>,
    /// How many convoys are neither landed nor cancelled.
    pub convoys: Vec<StateCount<ConvoyState>>,
    /// How many merge requests are on their way.
    pub reviews: Vec<StateCount<ReviewState>>,
    /// How many effects are not confirmed, those given up too.
    pub effects: Vec<StateCount<EffectState>>,
    /// The breakers that let no session be started now, or have counted failures.
    pub breakers: Vec<Breaker>,
    /// The open escalations, most urgent first, at most 100.
    pub escalations: Vec<OpenEscalation>,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// The last entries of the journal, at most 20, newest last.
    pub recent: Vec<RecentEvent>,
}

/// Who runs the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// The process, as host, boot, process and start time.
    pub holder: String,
    /// Counts the leaders.
    pub epoch: i64,
    /// Until when it leads; in the past where it has stopped or died.
    pub lease_until: Timestamp,
}

/// Whether a rig's beads are handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RigStatus {
    /// Which.
    pub name: RigName,
    /// Whether they are.
    pub state: RigState,
    /// Why not.
    pub paused_reason: Option<String>,
    /// Until when not; none for "until somebody says so".
    pub paused_until: Option<Timestamp>,
    /// Agents of the rig with a session.
    pub busy: u64,
}

/// How many agents of a rig and role do the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentCount {
    /// Where; none for the town's own.
    pub rig: Option<RigName>,
    /// What they are for.
    pub role: Role,
    /// What they do.
    pub state: AgentState,
    /// How many.
    pub count: u64,
}

/// How many beads of a kind stand alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeadsOfKind {
    /// What they are.
    pub kind: BeadKind,
    /// Where they stand.
    pub status: BeadStatus,
    /// How many.
    pub count: u64,
}

/// How many sessions, convoys, merge requests or effects stand alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCount<S> {
    /// Where they stand.
    pub state: S,
    /// How many.
    pub count: u64,
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEscalation {
    /// The bead that tells of it.
    pub bead: BeadId,
    /// What it is.
    pub title: String,
    /// How urgent it is, 0 to 4.
    pub priority: u32,
    /// Since when.
    pub created_at: Timestamp,
}

/// An entry of the journal, without what it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentEvent {
    /// Its place.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What happened.
    pub kind: String,
    /// What it happened to.
    pub subject: String,
}

/// Says what goes on.
pub(crate) fn status(view: View<'_>, _: &All) -> Result<TownStatus> {
    let reader = view.whole_town()?;
    let town: Option<TownRow> = view.scan(Scan::new(&index::TOWNS, vec![], 1))?.pop();
    let (paused_reason, paused_until) = town.map_or((None, None), |row| (row.paused_reason, row.paused_until));
    let leader: Option<LeaderRow> = view.scan(Scan::new(&index::LEADERS, vec![], 1))?.pop();
    let head = reader.head()?.seq;
    let recent = reader.events(head.saturating_sub(RECENT), usize::try_from(RECENT).unwrap_or(usize::MAX))?;
    let breakers: Vec<BreakerRow> = view.all(Scan::new(&index::BREAKERS, vec![], 0))?;
    let (agents, hooks_waiting) = agents(view)?;
    let sessions = of(SessionState::ALL, |state| *state != SessionState::Ended);
    let convoys = of(ConvoyState::ALL, |state| !matches!(state, ConvoyState::Landed | ConvoyState::Cancelled));
    let reviews = of(ReviewState::ALL, |state| !state.is_terminal());
    let effects = of(EffectState::ALL, |state| *state != EffectState::Confirmed);
    Ok(TownStatus {
        at: view.now(),
        head,
        leader: leader.map(|row| LeaderStatus { holder: row.holder, epoch: row.epoch, lease_until: row.lease_until }),
        next_wake: next_wake(view, paused_until)?,
        draining: drain::progress(view)?,
        pause: TownPause { reason: paused_reason, until: paused_until },
        rigs: rigs(view)?,
        agents,
        beads: beads(view)?,
        slung: view.count(&Scan::new(&index::BEADS_SLUNG, vec![], 1))?,
        hooks_waiting,
        sessions: counted(view, &index::SESSIONS_BY_STATE, sessions, SessionState::as_str)?,
        stalled: stalled(view)?,
        convoys: counted(view, &index::CONVOYS_BY_STATE, convoys, ConvoyState::as_str)?,
        reviews: counted(view, &index::REVIEWS_BY_STATE, reviews, ReviewState::as_str)?,
        effects: counted(view, &index::EFFECTS_BY_STATE, effects, EffectState::as_str)?,
        breakers: breakers
            .into_iter()
            .filter(|row| row.state != BreakerState::Closed || row.failures > 0)
            .map(Breaker::from)
            .collect(),
        escalations: escalations(view)?,
        quarantined: view.count(&Scan::new(&index::QUARANTINE, vec![], 1))?,
        recent: recent
            .into_iter()
            .map(|event| RecentEvent {
                seq: event.seq,
                at: event.at,
                actor: event.actor,
                kind: event.kind,
                subject: event.subject,
            })
            .collect(),
    })
}

fn of<S: Copy>(all: &[S], is_wanted: impl Fn(&S) -> bool) -> Vec<S> {
    all.iter().filter(|state| is_wanted(state)).copied().collect()
}

/// How many entries of an index by state there are of each, where there are any.
fn counted<S: Copy>(
    view: View<'_>,
    by_state: &'static Index,
    states: Vec<S>,
    word: fn(S) -> &'static str,
) -> Result<Vec<StateCount<S>>> {
    let mut counts = Vec::new();
    for state in states {
        match view.count(&Scan::new(by_state, vec![text(word(state))], 1))? {
            0 => {}
            count => counts.push(StateCount { state, count }),
        }
    }
    Ok(counts)
}

fn next_wake(view: View<'_>, town_resumes: Option<Timestamp>) -> Result<Option<Timestamp>> {
    let bead: Vec<BeadRow> = view.scan(Scan::new(&index::BEADS_DUE, vec![], 1))?;
    let agent: Vec<AgentRow> = view.scan(Scan::new(&index::AGENTS_PAUSED, vec![], 1))?;
    let rig: Vec<RigRow> = view.scan(Scan::new(&index::RIGS_PAUSED, vec![], 1))?;
    let times = [
        bead.first().and_then(|row| row.wake_at),
        agent.first().and_then(|row| row.paused_until),
        rig.first().and_then(|row| row.paused_until),
        town_resumes,
        effects::next_at(view)?,
        breaker::next_at(view)?,
        liveness::next_at(view)?,
    ];
    Ok(times.into_iter().flatten().min())
}

fn rigs(view: View<'_>) -> Result<Vec<RigStatus>> {
    let rows: Vec<RigRow> = view.scan(Scan::new(&index::RIGS, vec![], GROUPS_MAX))?;
    rows.into_iter()
        .map(|row| {
            let busy = view.count(&Scan::new(&index::AGENTS_BUSY_BY_RIG, vec![text(&row.name)], 1))?;
            let RigRow { name, state, paused_reason, paused_until, .. } = row;
            Ok(RigStatus { name, state, paused_reason, paused_until, busy })
        })
        .collect()
}

/// The groups of agents, and how many have a bead on their hook and no session.
fn agents(view: View<'_>) -> Result<(Vec<AgentCount>, u64)> {
    let (mut counts, mut waiting) = (BTreeMap::new(), 0);
    view.walk::<AgentRow>(Scan::new(&index::AGENTS, vec![], 0), |row| {
        waiting += u64::from(row.hook.is_some() && row.session.is_none());
        *counts.entry((row.rig, row.role, row.state)).or_insert(0) += 1;
        Ok(true)
    })?;
    let counts = counts.into_iter().map(|((rig, role, state), count)| AgentCount { rig, role, state, count });
    Ok((counts.collect(), waiting))
}

fn beads(view: View<'_>) -> Result<Vec<BeadsOfKind>> {
    let mut counts = Vec::new();
    for kind in BeadKind::ALL {
        for status in of(BeadStatus::ALL, |status| *status != BeadStatus::Closed) {
            let scan = Scan::new(&index::BEADS_BY_STATUS, vec![text(kind.as_str()), text(status.as_str())], 1);
            match view.count(&scan)? {
                0 => {}
                count => counts.push(BeadsOfKind { kind: *kind, status, count }),
            }
        }
    }
    Ok(counts)
}

fn stalled(view: View<'_>) -> Result<Vec<Session>> {
    let mut found = Vec::new();
    let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(SessionState::Running.as_str())], 0);
    view.walk::<SessionRow>(scan, |row| {
        if row.stall.is_some() {
            found.push(row.into());
        }
        Ok(found.len() < NAMED_MAX)
    })?;
    Ok(found)
}

fn escalations(view: View<'_>) -> Result<Vec<OpenEscalation>> {
    let prefix = vec![text(BeadKind::Escalation.as_str()), text(BeadStatus::Open.as_str())];
    let mut rows: Vec<BeadRow> = view.all(Scan::new(&index::BEADS_BY_STATUS, prefix, 0))?;
    rows.sort_by(|a, b| (a.priority, a.created_at, &a.id).cmp(&(b.priority, b.created_at, &b.id)));
    rows.truncate(NAMED_MAX);
    let told = |row: BeadRow| OpenEscalation {
        bead: row.id,
        title: row.title,
        priority: row.priority,
        created_at: row.created_at,
    };
    Ok(rows.into_iter().map(told).collect())
}
