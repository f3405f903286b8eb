//! What keeps a slung bead from being given to an agent.

use super::plan;
use super::room::Room;
use crate::model::{
    AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, Error, Key, Result, RigName, RigRow, RigState, Role,
    Timestamp, TownRow,
};
use crate::mutant::{self, Mutant};
use crate::store::{Scan, index};
use crate::work::graph::{Reason, ReasonKind};
use crate::work::view::View;
use crate::work::{breaker, drain, pool, ready, settings, sling};

/// A pause of the town, a rig or an agent that holds at this moment.
pub(super) fn is_paused(is: bool, until: Option<Timestamp>, now: Timestamp) -> bool {
    is && until.is_none_or(|until| until > now)
}

/// The town's row, where it is paused.
pub(super) fn paused_town(view: View<'_>) -> Result<Option<TownRow>> {
    let now = view.now();
    let town: Option<TownRow> = view.scan(Scan::new(&index::TOWNS, vec![], 1))?.pop();
    Ok(town.filter(|town| is_paused(town.paused_reason.is_some(), town.paused_until, now)))
}

/// Whether a rig's pause holds.
pub(super) fn is_rig_paused(rig: &RigRow, now: Timestamp) -> bool {
    is_paused(rig.state == RigState::Paused, rig.paused_until, now)
}

/// Whether an agent may be given this bead now.
pub(super) fn is_free(agent: &AgentRow, bead: &BeadId, now: Timestamp) -> bool {
    let is_up = match agent.state {
        AgentState::Idle | AgentState::Hooked | AgentState::Collected => true,
        AgentState::Paused => !is_paused(true, agent.paused_until, now),
        AgentState::Retired => false,
    };
    let is_idle = agent.hook.as_ref().is_none_or(|held| held == bead && agent.session.is_none());
    is_up && (is_idle || mutant::lives(Mutant::BusyAgentTaken))
}

/// What holds every bead of a queue: its agent, or the branch that it starts from.
pub(super) fn of_queue(view: View<'_>, bead: &BeadRow) -> Result<Option<Reason>> {
    let reason = |kind| Reason::of(&bead.id, kind);
    if let Some(id) = &bead.slung_to {
        let agent: Option<AgentRow> = view.find(&Key::agent(id))?;
        let Some(agent) = agent else {
            return Ok(Some(Reason { other: Some(id.clone()), ..reason(ReasonKind::AgentRetired) }));
        };
        if !is_free(&agent, &bead.id, view.now()) {
            let kind = match agent.state {
                AgentState::Retired => ReasonKind::AgentRetired,
                AgentState::Paused => ReasonKind::AgentPaused,
                _ => ReasonKind::AgentBusy,
            };
            let busy_with = if kind == ReasonKind::AgentBusy { agent.hook } else { Some(agent.id) };
            let (until, text) = (agent.paused_until, agent.paused_reason);
            return Ok(Some(Reason {
                other: busy_with,
                by: Some(agent.name.to_string()),
                until,
                text,
                ..reason(kind)
            }));
        }
    }
    if sling::target(view, bead)?.is_none() {
        return Ok(Some(Reason { other: bead.convoy.clone(), ..reason(ReasonKind::NoBranch) }));
    }
    Ok(None)
}

/// Every fact but the bead's own that keeps a slung bead from being given to an agent now. None for one that the next
/// tick starts, and for one that does not wait for an agent.
pub(crate) fn holds(view: View<'_>, bead: &BeadRow) -> Result<Vec<Reason>> {
    let (asked, view, now) = (view, view.of_town(), view.now());
    let waits = bead.kind == BeadKind::Issue && bead.slung && bead.status == BeadStatus::Open && bead.blockers == 0;
    let Some(rig) = bead.rig.clone().filter(|_| waits) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let reason = |kind| Reason::of(&bead.id, kind);
    if let Some(until) = bead.wake_at.filter(|until| *until > now) {
        found.push(Reason { until: Some(until), ..reason(ReasonKind::Backoff) });
    }
    if let Some(town) = paused_town(view)? {
        let (until, text) = (town.paused_until, town.paused_reason);
        found.push(Reason { until, text, ..reason(ReasonKind::TownPaused) });
    }
    if let Some((text, _)) = drain::of(view)? {
        found.push(Reason { text: Some(text), ..reason(ReasonKind::Draining) });
    }
    let row: RigRow = crate::work::rigs::row(view, &rig)?;
    if is_rig_paused(&row, now) {
        let (until, text) = (row.paused_until, row.paused_reason);
        found.push(Reason { until, text, ..reason(ReasonKind::RigPaused) });
    }
    if let Some(held) = breaker::holds(view, &rig)? {
        let (by, until, text) = (Some(held.subject), held.until, held.reason);
        found.push(Reason { by, until, text, ..reason(ReasonKind::Breaker) });
    }
    found.extend(of_queue(view, bead)?);
    let role = match &bead.slung_to {
        Some(agent) => view.find::<AgentRow>(&Key::agent(agent))?.map_or(Role::Polecat, |agent| agent.role),
        None => bead.slung_role.unwrap_or(Role::Polecat),
    };
    let preset: Option<String> = settings::resolve(view, Some(&rig), "agent.preset")?;
    // What runs elsewhere is not for those who see one rig.
    let sees_all = asked.scope().rig().is_none();
    for limit in Room::of(view)?.full(&rig, role, preset.as_deref())? {
        let is_shown = sees_all || limit.kind == ReasonKind::RigLimit;
        let (running, limit_is) = (is_shown.then_some(limit.running), is_shown.then_some(limit.most));
        found.push(Reason { running, limit: limit_is, ..reason(limit.kind) });
    }
    if bead.slung_to.is_none() && pool::hands(view, &rig, role, 1)?.is_empty() {
        let pool = pool::Pool::of(view, &rig, role)?;
        if !pool.has_room() {
            let (running, limit) = (Some(pool.agents), Some(pool.most));
            found.push(Reason { running, limit, by: Some(role.to_string()), ..reason(ReasonKind::NoIdleAgent) });
        }
    }
    let has_own = !ready::is_ready(bead, now);
    if found.is_empty()
        && !has_own
        && !plan::plan(view, plan::BATCH)?.starts.iter().any(|start| start.bead.id == bead.id)
    {
        found.push(reason(ReasonKind::Turn));
    }
    Ok(found)
}

/// Whether the agent that handed a bead on may go on with it at once.
pub(crate) fn may_go_on(view: View<'_>, bead: &BeadRow, agent: &AgentRow) -> Result<bool> {
    let (view, now) = (view.of_town(), view.now());
    let Some(rig) = bead.rig.as_ref().filter(|_| bead.slung && ready::is_ready(bead, now)) else { return Ok(false) };
    Ok(agent.state == AgentState::Idle
        && paused_town(view)?.is_none()
        && drain::of(view)?.is_none()
        && !is_rig_paused(&crate::work::rigs::row(view, rig)?, now)
        && breaker::holds(view, rig)?.is_none()
        && sling::target(view, bead)?.is_some())
}

/// Refuses a bead of which something cannot be read that the scheduler must know: used to find the one that stops it.
pub(crate) fn unfit(view: View<'_>, bead: &BeadRow) -> Result<()> {
    if bead.lane.is_some() {
        let rig: &RigName = bead.rig.as_ref().ok_or_else(|| Error::internal("bead_without_rig", "it has a queue"))?;
        crate::work::rigs::row(view, rig)?;
        of_queue(view, bead)?;
    }
    Ok(())
}
