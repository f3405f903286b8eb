//! Hooks: a bead is put on an agent's hook, so that nobody else gets it and the agent gets nothing else.
//!
//! Hooking is not starting. But what is on a hook is run as soon as nothing keeps it: the engine sees to that.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::agents::{self, Agent, AgentRef};
use super::sling;
use super::txn::ScopedTxn;
use crate::model::{AgentName, AgentRow, AgentState, BeadId, BeadRow, Error, Key, Result, Role};

/// A bead for an agent's hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookBead {
    /// The agent, which holds nothing.
    pub name: AgentName,
    /// The bead: an open issue of the agent's rig.
    pub bead: BeadId,
}

impl HookBead {
    /// Puts this bead on the hook of that agent.
    pub const fn new(name: AgentName, bead: BeadId) -> Self {
        Self { name, bead }
    }
}

/// Puts a bead on an agent's hook: nobody else gets it, the agent gets nothing else, and the engine runs it.
pub(crate) fn hook(txn: &mut ScopedTxn<'_>, input: &HookBead) -> Result<Agent> {
    let mut agent = agents::by_name(txn.view(), &input.name)?;
    let mut bead = txn.bead(&input.bead)?;
    if agent.hook.as_ref() == Some(&bead.id) {
        return Ok(agent.into());
    }
    let rig = sling::check_slingable(&bead)?;
    sling::check_fits(&agent, None, &rig)?;
    if let Some(held) = &agent.hook {
        return Err(Error::conflict("agent_busy", format!("{} holds {held}", agent.name))
            .with("agent", &agent.name)
            .with("bead", held));
    }
    refuse_hooked(txn, &bead)?;
    agent.hook = Some(bead.id.clone());
    // Its last one is over.
    agent.session = None;
    agent.since = txn.now();
    if agent.state != AgentState::Paused {
        agent.state = AgentState::Hooked;
    }
    bead.slung_at = if bead.slung { bead.slung_at } else { Some(txn.now()) };
    bead.slung = true;
    bead.slung_to = Some(agent.id.clone());
    bead.slung_role = Some(agent.role).filter(|role| *role != Role::Polecat);
    bead.assignee = Some(agent.id.to_string());
    txn.put(agent.clone())?;
    put(txn, bead)?;
    txn.event("bead.hooked", &input.bead, json!({ "agent": agent.name }));
    Ok(agent.into())
}

/// Takes what has not begun off an agent's hook; the bead is open and not slung.
pub(crate) fn unhook(txn: &mut ScopedTxn<'_>, input: &AgentRef) -> Result<Agent> {
    let agent = agents::by_name(txn.view(), &input.name)?;
    let Some(id) = agent.hook.clone() else { return Ok(agent.into()) };
    if let Some(session) = &agent.session {
        return Err(Error::conflict("bead_in_session", format!("{} works on {id}; stop {session} first", agent.name))
            .with("bead", &id)
            .with("agent", &agent.name)
            .with("session", session));
    }
    let mut bead = txn.bead(&id)?;
    let agent = take_off(txn, agent)?;
    bead.slung = false;
    bead.slung_to = None;
    bead.assignee = None;
    put(txn, bead)?;
    txn.event("bead.unhooked", &id, json!({ "agent": agent.name }));
    Ok(agent.into())
}

fn put(txn: &mut ScopedTxn<'_>, bead: BeadRow) -> Result<()> {
    if let Some(convoy) = &bead.convoy {
        txn.mark_dirty(convoy)?;
    }
    txn.put_bead(bead)
}

/// The agent on whose hook a bead waits to be run.
fn holder(txn: &ScopedTxn<'_>, bead: &BeadRow) -> Result<Option<AgentRow>> {
    let Some(id) = bead.slung_to.as_ref().filter(|_| bead.is_hooked()) else { return Ok(None) };
    let agent: Option<AgentRow> = txn.find(&Key::agent(id))?;
    Ok(agent.filter(|agent| agent.hook.as_ref() == Some(&bead.id)))
}

/// Refuses a bead that waits on somebody's hook.
pub(crate) fn refuse_hooked(txn: &ScopedTxn<'_>, bead: &BeadRow) -> Result<()> {
    let Some(agent) = holder(txn, bead)? else { return Ok(()) };
    Err(Error::conflict("bead_hooked", format!("bead {} is on the hook of {}", bead.id, agent.name))
        .with("bead", &bead.id)
        .with("agent", &agent.name))
}

/// Takes a bead off the hook that it waits on, where it does; whoever asks for it writes the bead.
pub(crate) fn let_go(txn: &mut ScopedTxn<'_>, bead: &mut BeadRow) -> Result<()> {
    if let Some(agent) = holder(txn, bead)? {
        take_off(txn, agent)?;
        bead.assignee = None;
    }
    Ok(())
}

/// Empties a hook.
pub(crate) fn take_off(txn: &mut ScopedTxn<'_>, mut agent: AgentRow) -> Result<AgentRow> {
    agent.hook = None;
    agent.since = txn.now();
    if agent.state == AgentState::Hooked {
        agent.state = AgentState::Idle;
    }
    txn.put(agent.clone())?;
    Ok(agent)
}
