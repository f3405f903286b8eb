//! Slings: a bead is given to an agent and run.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, BeadRef};
use super::schedule::{self, Hand, Start};
use super::txn::ScopedTxn;
use super::view::View;
use super::{agents, breaker, effects, hook, pool, reviews, rigs, settings};
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, ConvoyRow, Error, Key, Order,
    RUN_ID_BYTES_MAX, Result, RigName, Role, SessionId, SessionRow, SessionState,
};

/// The most beads slung at once.
pub(crate) const SLINGS_MAX: usize = 10_000;

/// A bead to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sling {
    /// Which.
    pub bead: BeadId,
    /// By whom; any agent of its rig in the role where it is left out.
    #[serde(default)]
    pub to: Option<AgentName>,
    /// By an agent of this role: `polecat`, `refinery` or `witness`; `polecat` where it is left out.
    #[serde(default)]
    pub role: Option<Role>,
}

impl From<BeadId> for Sling {
    fn from(bead: BeadId) -> Self {
        Self { bead, to: None, role: None }
    }
}

/// Beads to be run: all of them or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlingMany {
    /// The beads, 1 to 10,000, each once.
    pub slings: Vec<Sling>,
}

/// Beads that were slung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slung {
    /// The beads, as they were given.
    pub beads: Vec<beads::Bead>,
}

/// Gives a bead to an agent and has it run: at once where it is its turn and an agent is idle, else as soon as it is.
pub(crate) fn sling(txn: &mut ScopedTxn<'_>, input: &Sling) -> Result<beads::Bead> {
    if give(txn, input)? {
        dispatch(txn, &BTreeSet::from([&input.bead]))?;
    }
    beads::get(txn.view(), &BeadRef { id: input.bead.clone() })
}

/// Gives beads to agents and has them run: all of them or none.
pub(crate) fn sling_many(txn: &mut ScopedTxn<'_>, input: &SlingMany) -> Result<Slung> {
    let ids: BTreeSet<&BeadId> = input.slings.iter().map(|sling| &sling.bead).collect();
    let found = input.slings.len();
    if found == 0 || found > SLINGS_MAX || ids.len() != found {
        return Err(Error::invalid(
            "sling_count",
            format!(
                "1 to {SLINGS_MAX} beads are slung at once, each once; these are {found}, {} of them different",
                ids.len()
            ),
        )
        .with("found", found)
        .with("different", ids.len()));
    }
    for sling in &input.slings {
        give(txn, sling)?;
    }
    dispatch(txn, &ids)?;
    let bead = |sling: &Sling| beads::get(txn.view(), &BeadRef { id: sling.bead.clone() });
    Ok(Slung { beads: input.slings.iter().map(bead).collect::<Result<_>>()? })
}

/// Puts a bead among those that wait for an agent; says whether it waits for one.
fn give(txn: &mut ScopedTxn<'_>, input: &Sling) -> Result<bool> {
    let mut bead = txn.bead(&input.bead)?;
    let rig = check_slingable(&bead)?;
    let (to, role) = whom(txn.view(), input, &rig)?;
    if to != bead.slung_to {
        hook::let_go(txn, &mut bead)?;
    }
    // One that waits already keeps its place.
    bead.slung_at = if bead.slung { bead.slung_at } else { Some(txn.now()) };
    bead.slung = true;
    bead.slung_to = to;
    bead.slung_role = Some(role).filter(|role| *role != Role::Polecat);
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
    txn.event("bead.slung", &id, json!({ "to": input.to, "role": role }));
    Ok(!reviews::resubmit(txn, &id)?)
}

/// Refuses a bead that nobody could be given; answers its rig.
pub(crate) fn check_slingable(bead: &BeadRow) -> Result<RigName> {
    if bead.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "not_an_issue",
            format!("bead {} is a {}; only issues are slung", bead.id, bead.kind),
        )
        .with("bead", &bead.id)
        .with("kind", bead.kind));
    }
    let bytes = bead.id.as_str().len();
    if bytes > RUN_ID_BYTES_MAX {
        let said = format!("bead {} has an id of {bytes} bytes, too long to name a session after", bead.id);
        return Err(Error::invalid("id_too_long_to_run", said)
            .with("bead", &bead.id)
            .with("bytes", bytes)
            .with("bytes_max", RUN_ID_BYTES_MAX));
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
    Ok(rig)
}

/// The agent and the role that a bead is slung to.
fn whom(view: View<'_>, input: &Sling, rig: &RigName) -> Result<(Option<BeadId>, Role)> {
    if let Some(role) = input.role.filter(|role| !is_run(*role)) {
        return Err(Error::invalid("role_unfit", format!("a {role} is not started by the engine"))
            .with("role", role)
            .with("allowed", "polecat, refinery, witness"));
    }
    let Some(name) = &input.to else { return Ok((None, input.role.unwrap_or(Role::Polecat))) };
    let agent = agents::by_name(view, name)?;
    check_fits(&agent, input.role, rig)?;
    Ok((Some(agent.id), agent.role))
}

/// Whether the engine runs agents of a role.
const fn is_run(role: Role) -> bool {
    matches!(role, Role::Polecat | Role::Refinery | Role::Witness)
}

/// Refuses an agent that does not run beads of the rig, or not in this role.
pub(crate) fn check_fits(agent: &AgentRow, role: Option<Role>, rig: &RigName) -> Result<()> {
    let fits = role.map_or(is_run(agent.role), |role| role == agent.role);
    if !fits || agent.rig.as_ref() != Some(rig) {
        let role = role.unwrap_or(Role::Polecat);
        return Err(Error::invalid("agent_unfit", format!("{} is no {role} of the rig {rig}", agent.name))
            .with("agent", &agent.name)
            .with("role", agent.role)
            .with("rig", rig));
    }
    agents::refuse_retired(agent)
}

/// Starts those of these beads whose turn it is.
fn dispatch(txn: &mut ScopedTxn<'_>, ids: &BTreeSet<&BeadId>) -> Result<()> {
    for planned in schedule::plan(txn.view(), schedule::BATCH)?.starts {
        if ids.contains(&planned.bead.id) {
            start(txn, planned)?;
        }
    }
    Ok(())
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
pub(crate) fn start(txn: &mut ScopedTxn<'_>, start: Start) -> Result<()> {
    let now = txn.now();
    let Start { mut bead, hand, preset, .. } = start;
    let rig = bead.rig.clone().ok_or_else(|| Error::internal("bead_without_rig", "a slung bead has a rig"))?;
    let target = target(txn.view(), &bead)?
        .ok_or_else(|| Error::internal("target_missing", "a dispatched bead has a target branch"))?;
    let mut agent = match hand {
        Hand::Known(agent) => *agent,
        Hand::New(name) => pool::spawn(txn, &rig, &name)?,
    };
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
        progress: 0,
        ending: None,
        stall: None,
        triage: None,
        checkpoint: None,
        saved: None,
    };
    agent.state = AgentState::Hooked;
    agent.hook = Some(bead.id.clone());
    agent.session = Some(session.id.clone());
    agent.sessions += 1;
    agent.since = now;
    agent.preset = preset;
    agent.paused_reason = None;
    agent.paused_until = None;
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
    breaker::planned(txn, order.rig(), &id)
}

/// Has the agent that handed a bead on go on with it; where no session may be begun now, it waits like any other.
pub(crate) fn go_on(txn: &mut ScopedTxn<'_>, id: &BeadId, agent: AgentRow) -> Result<()> {
    let bead = txn.bead(id)?;
    if !schedule::may_go_on(txn.view(), &bead, &agent)? {
        return Ok(());
    }
    let preset = settings::resolve(txn.town_view(), bead.rig.as_ref(), "agent.preset")?;
    start(txn, Start::again(bead, agent, preset))
}
