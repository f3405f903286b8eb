//! Agents: who there is, and what each holds.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, NewBead};
use super::hook;
use super::ready::{self, decode_position, encode_position};
use super::rigs;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadKind, Error, Key, Result, RigName, RigRow, Role, SessionExit,
    SessionId, SessionRow, Timestamp,
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
    pub pooled: bool,
    pub paused_reason: Option<String>,
    pub paused_until: Option<Timestamp>,
}

impl From<AgentRow> for Agent {
    fn from(row: AgentRow) -> Self {
        let AgentRow { id, name, role, rig, state, hook, session, sessions, since, pooled, .. } = row;
        let (paused_reason, paused_until) = (row.paused_reason, row.paused_until);
        Self { id, name, role, rig, state, hook, session, sessions, since, pooled, paused_reason, paused_until }
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
        pooled: false,
        preset: None,
        paused_reason: None,
        paused_until: None,
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

/// An agent that was retired works no more.
pub(crate) fn refuse_retired(row: &AgentRow) -> Result<()> {
    if row.state != AgentState::Retired {
        return Ok(());
    }
    Err(Error::conflict("agent_retired", format!("{} is retired", row.name)).with("agent", &row.name))
}

/// Gives an agent no work any more; a session that it has goes on, its name and its history stay.
pub(crate) fn retire(txn: &mut ScopedTxn<'_>, input: &AgentRef) -> Result<Agent> {
    let mut row = by_name(txn.view(), &input.name)?;
    if row.state != AgentState::Retired {
        if row.session.is_none() && row.hook.is_some() {
            row = hook::take_off(txn, row)?;
        }
        row.state = AgentState::Retired;
        row.since = txn.now();
        row.paused_reason = None;
        row.paused_until = None;
        txn.put(row.clone())?;
        txn.event("agent.retired", &row.id, json!({ "name": row.name }));
    }
    Ok(row.into())
}

/// Asks what an agent has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentHistoryOf {
    /// Which agent.
    pub name: AgentName,
    /// At most so many, 1 to 1,000; 50 where it is left out.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Where an earlier page ended.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl From<AgentName> for AgentHistoryOf {
    fn from(name: AgentName) -> Self {
        Self { name, limit: None, cursor: None }
    }
}

/// One session of an agent's past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentWork {
    /// The session.
    pub session: SessionId,
    /// The bead it worked on.
    pub bead: BeadId,
    /// How the session ended; none while it has not.
    pub exit: Option<SessionExit>,
    /// Why, in words.
    pub reason: Option<String>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When its program was seen to run.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// How long it ran; none where it never did or still does.
    pub duration_ms: Option<u64>,
}

/// What an agent has done, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHistory {
    /// The agent.
    pub agent: Agent,
    /// Its sessions.
    pub work: Vec<AgentWork>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Reads what an agent has done, session by session, oldest first, a page at a time.
pub(crate) fn history(view: View<'_>, input: &AgentHistoryOf) -> Result<AgentHistory> {
    let limit = ready::check_limit(input.limit)?;
    let agent = by_name(view, &input.name)?;
    let after = input.cursor.as_deref().map(|cursor| decode_position("sessions", "it", cursor)).transpose()?;
    let scan = Scan::new(&index::SESSIONS_BY_AGENT, vec![text(&agent.id)], limit).after(after);
    let page = view.scan_once::<SessionRow>(&scan)?;
    let cursor = page.after.map(|after| encode_position("sessions", &after.0));
    Ok(AgentHistory { agent: agent.into(), work: page.records.into_iter().map(AgentWork::from).collect(), cursor })
}

impl From<SessionRow> for AgentWork {
    fn from(row: SessionRow) -> Self {
        let ran = row.started_at.zip(row.ended_at).map(|(from, to)| to.since(from));
        Self {
            session: row.id,
            bead: row.bead,
            exit: row.exit,
            reason: row.reason,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            duration_ms: ran.map(|ran| u64::try_from(ran.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
