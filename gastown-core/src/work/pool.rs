//! The pool: agents that the engine makes when slung beads find none, and puts away when nothing wants them.
//!
//! An agent is never deleted: what is put away keeps its name and its history, and is the first to be woken.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::agents::{self, RegisterAgent};
use super::settings;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::value::ColumnValue as _;
use crate::model::{AgentName, AgentRow, AgentState, BeadId, Result, RigName, Role, Timestamp};
use crate::store::{Scan, index};

/// The names, in the order they are given; behind them they are counted on: `acorn-2`.
const NAMES: [&str; 50] = [
    "acorn", "alder", "amber", "aspen", "badger", "basil", "beech", "bramble", "cedar", "chestnut", "cinder", "cobalt",
    "cypress", "dapple", "drake", "falcon", "fennel", "fern", "finch", "garnet", "hazel", "heron", "holly", "indigo",
    "ivy", "jasper", "juniper", "kestrel", "larch", "laurel", "linden", "lynx", "marlin", "nettle", "oak", "onyx",
    "opal", "osprey", "otter", "pebble", "poplar", "quartz", "raven", "rowan", "saffron", "sorrel", "tamarack",
    "thistle", "walnut", "willow",
];

/// The most agents that one look puts away.
const COLLECTED_MAX: usize = 256;

/// Names that no agent has yet.
pub(crate) struct Names<'a> {
    view: View<'a>,
    /// The place of the next one in the endless list.
    at: Option<usize>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(view: View<'a>) -> Self {
        Self { view, at: None }
    }

    /// The next free name.
    pub(crate) fn free(&mut self) -> Result<AgentName> {
        // No name is ever free again, so the search begins where the names of as many agents end.
        let mut at = if let Some(at) = self.at {
            at
        } else {
            let agents = self.view.count(&Scan::new(&index::AGENTS, vec![], usize::MAX))?;
            usize::try_from(agents).unwrap_or(usize::MAX)
        };
        loop {
            let name = nth_name(at)?;
            at += 1;
            let same = Scan::new(&index::AGENTS_BY_NAME, vec![text(&name)], 1);
            if self.view.scan::<AgentRow>(same)?.is_empty() {
                self.at = Some(at);
                return Ok(name);
            }
        }
    }
}

fn nth_name(at: usize) -> Result<AgentName> {
    let (round, name) = (at / NAMES.len(), NAMES[at % NAMES.len()]);
    AgentName::new(if round == 0 { name.to_owned() } else { format!("{name}-{}", round + 1) })
}

/// How many agents of a role a rig has at work or waiting, and how many the engine may bring it to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub(crate) agents: u64,
    pub(crate) most: u64,
}

impl Pool {
    pub(crate) fn of(view: View<'_>, rig: &RigName, role: Role) -> Result<Self> {
        let most = match role {
            Role::Polecat => settings::resolve(view, Some(rig), "agents.pool_max")?,
            _ => 0,
        };
        let mut agents = 0;
        for state in [AgentState::Idle, AgentState::Hooked, AgentState::Paused] {
            agents += view.count(&of_state(rig, role, state, usize::MAX))?;
        }
        Ok(Self { agents, most })
    }

    pub(crate) const fn has_room(self) -> bool {
        self.agents < self.most
    }
}

fn of_state(rig: &RigName, role: Role, state: AgentState, limit: usize) -> Scan {
    Scan::new(&index::AGENTS_BY_STATE, vec![rig.to_value(), text(role.as_str()), text(state.as_str())], limit)
}

/// Agents of a rig and role that are free, longest idle first; also those whose pause is over by now.
pub(crate) fn hands(view: View<'_>, rig: &RigName, role: Role, most: usize) -> Result<Vec<AgentRow>> {
    let mut hands: Vec<AgentRow> = view.scan(of_state(rig, role, AgentState::Idle, most))?;
    let resumed = Scan::new(&index::AGENTS_PAUSED, vec![], most).upto(view.now().to_value());
    hands.extend(view.scan::<AgentRow>(resumed)?.into_iter().filter(|agent| {
        let is_here = agent.rig.as_ref() == Some(rig) && agent.role == role;
        is_here && agent.state == AgentState::Paused && agent.hook.is_none()
    }));
    hands.truncate(most);
    Ok(hands)
}

/// The agent of a rig and role that was put away longest ago, but none of these.
pub(crate) fn put_away(view: View<'_>, rig: &RigName, role: Role, but: &BTreeSet<BeadId>) -> Result<Option<AgentRow>> {
    let scan = of_state(rig, role, AgentState::Collected, but.len().saturating_add(1));
    Ok(view.scan::<AgentRow>(scan)?.into_iter().find(|agent| !but.contains(&agent.id)))
}

/// Makes a polecat of the pool.
pub(crate) fn spawn(txn: &mut ScopedTxn<'_>, rig: &RigName, name: &AgentName) -> Result<AgentRow> {
    let agent = agents::register(txn, &RegisterAgent::polecat(name.clone(), rig.clone()))?;
    let mut row = agents::by_name(txn.view(), &agent.name)?;
    row.pooled = true;
    txn.put(row.clone())?;
    Ok(row)
}

/// Puts away the agents of the pool that were idle for long enough; answers when to look again.
pub(crate) fn collect(txn: &mut ScopedTxn<'_>) -> Result<Option<Timestamp>> {
    let idle: Duration = settings::duration(txn.view(), None, "agents.idle_ms")?;
    for _ in 0..COLLECTED_MAX {
        let longest: Option<AgentRow> = txn.scan(Scan::new(&index::AGENTS_POOLED, vec![], 1))?.pop();
        let Some(mut agent) = longest else { return Ok(None) };
        let until = agent.since.after(idle);
        if until > txn.now() {
            return Ok(Some(until));
        }
        agent.state = AgentState::Collected;
        agent.since = txn.now();
        let (id, name) = (agent.id.clone(), agent.name.clone());
        txn.put(agent)?;
        txn.event("agent.collected", &id, json!({ "name": name }));
    }
    Ok(Some(txn.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_legal_and_no_other() {
        let names: BTreeSet<AgentName> = (0..500).map(|at| nth_name(at).unwrap()).collect();
        assert_eq!(names.len(), 500);
        for role in Role::ALL {
            assert!(!names.iter().any(|name| name.as_str() == role.as_str()), "{role} is a role");
        }
    }
}
