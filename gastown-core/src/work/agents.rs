//! Agents: who there is, and what each holds.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, NewBead};
use super::rigs;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadKind, Error, Key, Result, RigName, RigRow, Role, SessionId, Timestamp,
};
use crate::store::{Scan, index};

/// The most agents of a town.
pub(crate) const AGENTS_MAX: usize = 100_000;

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of AgentRow, documented there")]
pub struct Agent {
    pub id: BeadId,
    pub name: AgentName,
    pub role: Role,
    pub rig: Option<RigName>,
    pub state: AgentState,
    pub hook: Option<BeadId>,
    pub session: Option<SessionId>,
    pub sessions: i64,
    pub since: Timestamp,
}

impl From<AgentRow> for Agent {
    fn from(row: AgentRow) -> Self {
        let AgentRow { id, name, role, rig, state, hook, session, sessions, since } = row;
        Self { id, name, role, rig, state, hook, session, sessions, since }
    }
}

/// An agent to be known to the town.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterAgent {
    /// Unique in the town.
    pub name: AgentName,
    /// What it is for; `polecat` where it is left out.
    #[serde(default = "polecat")]
    pub role: Role,
    /// Where it works; needed for polecats and refineries.
    #[serde(default)]
    pub rig: Option<RigName>,
}

const fn polecat() -> Role {
    Role::Polecat
}

impl RegisterAgent {
    /// A polecat of a rig.
    pub const fn polecat(name: AgentName, rig: RigName) -> Self {
        Self { name, role: Role::Polecat, rig: Some(rig) }
    }
}

/// Names one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRef {
    /// Which.
    pub name: AgentName,
}

impl From<AgentName> for AgentRef {
    fn from(name: AgentName) -> Self {
        Self { name }
    }
}

/// Which agents to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentFilter {
    /// Of this rig.
    pub rig: Option<RigName>,
    /// In this role.
    pub role: Option<Role>,
}

/// Agents, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentList {
    /// The agents.
    pub agents: Vec<Agent>,
}

pub(crate) fn register(txn: &mut ScopedTxn<'_>, input: &RegisterAgent) -> Result<Agent> {
    let has_rig = matches!(input.role, Role::Polecat | Role::Refinery);
    if has_rig && input.rig.is_none() {
        return Err(Error::invalid("agent_without_rig", format!("a {} works in a rig; name it", input.role))
            .with("role", input.role));
    }
    if let Some(rig) = &input.rig {
        txn.find::<RigRow>(&Key::rig(rig))?.ok_or_else(|| rigs::missing(rig))?;
    }
    let same_name = Scan::new(&index::AGENTS_BY_NAME, vec![text(&input.name)], 1);
    if !txn.town_view().scan::<AgentRow>(same_name)?.is_empty() {
        return Err(Error::conflict("agent_exists", format!("there is an agent {} already", input.name))
            .with("agent", &input.name));
    }
    let bead = NewBead { rig: input.rig.clone(), ..NewBead::titled(format!("{} {}", input.role, input.name)) };
    let bead = beads::insert(txn, BeadKind::Agent, &bead, None)?;
    let agent = AgentRow {
        id: bead.id,
        name: input.name.clone(),
        role: input.role,
        rig: input.rig.clone(),
        state: AgentState::Idle,
        hook: None,
        session: None,
        sessions: 0,
        since: txn.now(),
    };
    txn.put(agent.clone())?;
    txn.event("agent.registered", &agent.id, json!({ "name": agent.name, "role": agent.role, "rig": agent.rig }));
    Ok(agent.into())
}

pub(crate) fn by_name(view: View<'_>, name: &AgentName) -> Result<AgentRow> {
    view.scan(Scan::new(&index::AGENTS_BY_NAME, vec![text(name)], 1))?
        .pop()
        .ok_or_else(|| Error::not_found("agent_missing", format!("there is no agent {name}")).with("agent", name))
}

pub(crate) fn get(view: View<'_>, input: &AgentRef) -> Result<Agent> {
    by_name(view, &input.name).map(Agent::from)
}

pub(crate) fn list(view: View<'_>, input: &AgentFilter) -> Result<AgentList> {
    let rows: Vec<AgentRow> = view.scan(Scan::new(&index::AGENTS, vec![], AGENTS_MAX))?;
    let fits = |row: &AgentRow| {
        input.rig.as_ref().is_none_or(|rig| row.rig.as_ref() == Some(rig))
            && input.role.is_none_or(|role| row.role == role)
    };
    Ok(AgentList { agents: rows.into_iter().filter(fits).map(Agent::from).collect() })
}
