//! Slings: a bead is given to an agent and run.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, BeadRef};
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{agents, effects, ready, reviews, rigs, settings};
use crate::model::value::ColumnValue as _;
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, ConvoyRow, Error, Key, Order, Result,
    RigName, RigState, Role, SessionId, SessionRow, SessionState,
};
use crate::store::{Scan, index};

/// A bead to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sling {
    /// Which.
    pub bead: BeadId,
    /// By whom; any polecat of its rig where it is left out.
    #[serde(default)]
    pub to: Option<AgentName>,
}

impl From<BeadId> for Sling {
    fn from(bead: BeadId) -> Self {
        Self { bead, to: None }
    }
}

/// Gives a bead to an agent and has it run: at once where an agent is idle, else as soon as one is.
pub(crate) fn sling(txn: &mut ScopedTxn<'_>, input: &Sling) -> Result<beads::Bead> {
    let mut bead = txn.bead(&input.bead)?;
    if bead.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "not_an_issue",
            format!("bead {} is a {}; only issues are slung", bead.id, bead.kind),
        )
        .with("bead", &bead.id)
        .with("kind", bead.kind));
    }
    let rig = bead.rig.clone().ok_or_else(|| {
        Error::invalid("bead_without_rig", format!("bead {} belongs to no rig, so nobody can work on it", bead.id))
            .with("bead", &bead.id)
    })?;
    if bead.status != BeadStatus::Open {
        return Err(Error::conflict("bead_not_open", format!("bead {} is {}", bead.id, bead.status))
            .with("bead", &bead.id)
            .with("status", bead.status)
            .with("assignee", bead.assignee.as_deref().unwrap_or("")));
    }
    let to = match &input.to {
        None => None,
        Some(name) => {
            let agent = agents::by_name(txn.view(), name)?;
            if agent.role != Role::Polecat || agent.rig.as_ref() != Some(&rig) {
                return Err(Error::invalid("agent_unfit", format!("{name} is no polecat of the rig {rig}"))
                    .with("agent", name)
                    .with("role", agent.role)
                    .with("rig", &rig));
            }
            Some(agent.id)
        }
    };
    bead.slung = true;
    bead.slung_to = to;
    // Whoever slings it again has decided: what it was parked for is tried anew, at once.
    bead.parked_reason = None;
    bead.parked_until = None;
    bead.outages = 0;
    bead.wake_at = None;
    let id = bead.id.clone();
    if let Some(convoy) = &bead.convoy {
        txn.mark_dirty(convoy)?;
    }
    txn.put_bead(bead)?;
    txn.event("bead.slung", &id, json!({ "to": input.to }));
    if !reviews::resubmit(txn, &id)? {
        dispatch(txn, &id)?;
    }
    beads::get(txn.view(), &BeadRef { id })
}

/// Gives a slung bead to an idle agent where everything allows it; says whether it did.
pub(crate) fn dispatch(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<bool> {
    let bead = txn.bead(id)?;
    let now = txn.now();
    let Some(rig) = bead.rig.clone() else { return Ok(false) };
    if !bead.slung || !ready::is_ready(&bead, now) || bead.wake_at.is_some_and(|at| at > now) {
        return Ok(false);
    }
    if rigs::row(txn.view(), &rig)?.state != RigState::Active || target(txn.view(), &bead)?.is_none() {
        return Ok(false);
    }
    let agent = match &bead.slung_to {
        Some(agent) => txn.find::<AgentRow>(&Key::agent(agent))?.filter(|agent| agent.state == AgentState::Idle),
        None => idle_polecat(txn, &rig)?,
    };
    let Some(agent) = agent else { return Ok(false) };
    if !has_room(txn, &rig)? {
        return Ok(false);
    }
    plan(txn, bead, agent)?;
    Ok(true)
}

/// Whether nothing but room holds a slung bead: its own agent is idle where it has one, its branch is there.
pub(crate) fn can_go(view: View<'_>, bead: &BeadRow) -> Result<bool> {
    if let Some(agent) = &bead.slung_to {
        let agent: Option<AgentRow> = view.find(&Key::agent(agent))?;
        if agent.is_none_or(|agent| agent.state != AgentState::Idle) {
            return Ok(false);
        }
    }
    Ok(target(view, bead)?.is_some())
}

fn idle_polecat(txn: &ScopedTxn<'_>, rig: &RigName) -> Result<Option<AgentRow>> {
    let prefix = vec![rig.to_value(), text(Role::Polecat.as_str()), text(AgentState::Idle.as_str())];
    Ok(txn.scan(Scan::new(&index::AGENTS_BY_STATE, prefix, 1))?.pop())
}

/// Whether a polecat of the rig waits for work.
pub(crate) fn has_idle_polecat(txn: &ScopedTxn<'_>, rig: &RigName) -> Result<bool> {
    Ok(idle_polecat(txn, rig)?.is_some())
}

/// Whether the limits of the rig and of the town leave room for one more session.
fn has_room(txn: &ScopedTxn<'_>, rig: &RigName) -> Result<bool> {
    let in_rig: usize = settings::resolve(txn.view(), Some(rig), "sessions.max")?;
    let in_town: usize = settings::resolve(txn.view(), None, "sessions.max")?;
    let live = [SessionState::Planned, SessionState::Starting, SessionState::Running, SessionState::Finishing];
    let (mut of_rig, mut of_town) = (0, 0);
    for state in live {
        let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0);
        let rows: Vec<SessionRow> = txn.town_view().all(scan)?;
        of_town += rows.len();
        of_rig += rows.iter().filter(|row| row.rig == *rig).count();
    }
    Ok(of_rig < in_rig && of_town < in_town)
}

/// The branch a bead's work is meant for; none while its convoy has no branch yet.
pub(crate) fn target(view: View<'_>, bead: &BeadRow) -> Result<Option<String>> {
    if let Some(convoy) = &bead.convoy {
        let convoy: Option<ConvoyRow> = view.find(&Key::convoy(convoy))?;
        return Ok(convoy.filter(|row| row.base.is_some()).map(|row| row.branch));
    }
    match &bead.rig {
        Some(rig) => Ok(Some(rigs::row(view, rig)?.target)),
        None => Ok(None),
    }
}

/// Puts the bead on the agent's hook and wants a session started.
fn plan(txn: &mut ScopedTxn<'_>, mut bead: BeadRow, mut agent: AgentRow) -> Result<()> {
    let now = txn.now();
    let rig = bead.rig.clone().ok_or_else(|| Error::internal("bead_without_rig", "a slung bead has a rig"))?;
    let target = target(txn.view(), &bead)?
        .ok_or_else(|| Error::internal("target_missing", "a dispatched bead has a target branch"))?;
    bead.move_to(BeadStatus::InProgress, None, now)?;
    bead.epoch += 1;
    bead.assignee = Some(agent.id.to_string());
    bead.wake_at = None;
    let session = SessionRow {
        id: SessionId::new(format!("s-{}-{}", bead.id, bead.epoch))?,
        agent: agent.id.clone(),
        bead: bead.id.clone(),
        rig: rig.clone(),
        epoch: bead.epoch,
        state: SessionState::Planned,
        exit: None,
        reason: None,
        branch: format!("gt/work/{}/{}.{}", bead.id, agent.name, bead.epoch),
        target,
        base: None,
        head: None,
        created_at: now,
        started_at: None,
        ended_at: None,
        lease_until: None,
        last_progress: None,
        wake_at: None,
    };
    agent.state = AgentState::Hooked;
    agent.hook = Some(bead.id.clone());
    agent.session = Some(session.id.clone());
    agent.sessions += 1;
    agent.since = now;
    let order = Order::Start {
        session: session.id.clone(),
        agent: agent.name.clone(),
        bead: bead.id.clone(),
        epoch: bead.epoch,
        rig,
    };
    let data = json!({ "agent": agent.name, "bead": bead.id, "epoch": bead.epoch });
    let id = session.id.clone();
    txn.put_bead(bead)?;
    txn.put(agent)?;
    txn.put(session)?;
    effects::enqueue(txn, &order, 1)?;
    txn.event("session.planned", &id, data);
    Ok(())
}
