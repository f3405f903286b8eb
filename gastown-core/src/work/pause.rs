//! Pauses: of the town, a rig, an agent or a bead nothing new begins; what runs goes on.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::agents::{self, Agent, AgentRef};
use super::beads::{self, Bead, BeadRef};
use super::drain;
use super::fields::{check_reason, check_time};
use super::rigs::{self, Rig, RigRef};
use super::txn::ScopedTxn;
use super::view::View;
use crate::model::value::ColumnValue as _;
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadKind, Error, Result, RigName, RigRow, RigState, Timestamp, TownRow,
};
use crate::store::{Scan, index};
use crate::work::All;

/// The most pauses of one sort that one look ends.
const ENDED_MAX: usize = 256;

/// Why and until when the town is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseTown {
    /// Why; never empty.
    pub reason: String,
    /// Until when; until somebody resumes it where it is left out.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// A rig of which no bead is handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRig {
    /// Which.
    pub name: RigName,
    /// Why; never empty.
    pub reason: String,
    /// Until when; until somebody resumes it where it is left out.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// An agent that is given no work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseAgent {
    /// Which.
    pub name: AgentName,
    /// Why; never empty.
    pub reason: String,
    /// Until when; until somebody resumes it where it is left out.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// A bead to be set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParkBead {
    /// Which.
    pub id: BeadId,
    /// Why; never empty.
    pub reason: String,
    /// Until when; until somebody takes it up again where it is left out.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Refused where the bead has another version than this.
    #[serde(default)]
    pub expected_version: Option<i64>,
}

/// Whether the town is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TownPause {
    /// Why; none where it is not paused.
    pub reason: Option<String>,
    /// Until when; none for "until somebody resumes it".
    pub until: Option<Timestamp>,
}

fn check(reason: &str, until: Option<Timestamp>, now: Timestamp) -> Result<()> {
    check_reason(Some(reason))?;
    check_time("until", until)?;
    if reason.trim().is_empty() {
        return Err(Error::invalid("reason_missing", "what is set aside has a reason").with("field", "reason"));
    }
    match until {
        Some(until) if until <= now => Err(Error::invalid("until_passed", "it would be over before it begins")
            .with("until", until)
            .with("now", now)),
        _ => Ok(()),
    }
}

/// The town's row.
fn town(view: View<'_>) -> Result<TownRow> {
    view.whole_town()?;
    let rows: Vec<TownRow> = view.scan(Scan::new(&index::TOWNS, vec![], 1))?;
    rows.into_iter().next().ok_or_else(|| Error::not_found("town_missing", "the town has no record of itself"))
}

/// Hands out no bead of the whole town.
pub(crate) fn pause_town(txn: &mut ScopedTxn<'_>, input: &PauseTown) -> Result<TownPause> {
    check(&input.reason, input.until, txn.now())?;
    let mut row = town(txn.view())?;
    row.paused_reason = Some(input.reason.clone());
    row.paused_until = input.until;
    txn.put(row.clone())?;
    txn.event("town.paused", &row.id, json!({ "reason": input.reason, "until": input.until }));
    Ok(TownPause { reason: row.paused_reason, until: row.paused_until })
}

/// Hands out beads again; a drain of the engine's host is called off.
pub(crate) fn resume_town(txn: &mut ScopedTxn<'_>, _: &All) -> Result<TownPause> {
    let row = town(txn.view())?;
    if row.paused_reason.is_some() {
        town_goes_on(txn, row)?;
    }
    drain::call_off(txn)?;
    Ok(TownPause { reason: None, until: None })
}

fn town_goes_on(txn: &mut ScopedTxn<'_>, mut row: TownRow) -> Result<()> {
    row.paused_reason = None;
    row.paused_until = None;
    let id = row.id.clone();
    txn.put(row)?;
    txn.event("town.resumed", &id, json!({}));
    Ok(())
}

/// Hands out no bead of a rig.
pub(crate) fn pause_rig(txn: &mut ScopedTxn<'_>, input: &PauseRig) -> Result<Rig> {
    check(&input.reason, input.until, txn.now())?;
    let mut row = rigs::row(txn.view(), &input.name)?;
    row.state = RigState::Paused;
    row.paused_reason = Some(input.reason.clone());
    row.paused_until = input.until;
    txn.put(row.clone())?;
    txn.event("rig.paused", &row.name, json!({ "reason": input.reason, "until": input.until }));
    Ok(row.into())
}

/// Hands out a rig's beads again.
pub(crate) fn resume_rig(txn: &mut ScopedTxn<'_>, input: &RigRef) -> Result<Rig> {
    let row = rigs::row(txn.view(), &input.name)?;
    if row.state == RigState::Paused {
        rig_goes_on(txn, row)?;
    }
    rigs::get(txn.view(), input)
}

fn rig_goes_on(txn: &mut ScopedTxn<'_>, mut row: RigRow) -> Result<()> {
    row.state = RigState::Active;
    row.paused_reason = None;
    row.paused_until = None;
    let name = row.name.clone();
    txn.put(row)?;
    txn.event("rig.resumed", &name, json!({}));
    Ok(())
}

/// Gives an agent no work; a session that it has goes on.
pub(crate) fn pause_agent(txn: &mut ScopedTxn<'_>, input: &PauseAgent) -> Result<Agent> {
    check(&input.reason, input.until, txn.now())?;
    let mut row = agents::by_name(txn.view(), &input.name)?;
    agents::refuse_retired(&row)?;
    row.state = AgentState::Paused;
    row.since = txn.now();
    row.paused_reason = Some(input.reason.clone());
    row.paused_until = input.until;
    txn.put(row.clone())?;
    let data = json!({ "name": row.name, "reason": input.reason, "until": input.until });
    txn.event("agent.paused", &row.id, data);
    Ok(row.into())
}

/// Gives an agent work again.
pub(crate) fn resume_agent(txn: &mut ScopedTxn<'_>, input: &AgentRef) -> Result<Agent> {
    let row = agents::by_name(txn.view(), &input.name)?;
    if row.state == AgentState::Paused {
        agent_goes_on(txn, row)?;
    }
    agents::get(txn.view(), input)
}

fn agent_goes_on(txn: &mut ScopedTxn<'_>, mut row: AgentRow) -> Result<()> {
    row.state = if row.hook.is_some() { AgentState::Hooked } else { AgentState::Idle };
    row.since = txn.now();
    row.paused_reason = None;
    row.paused_until = None;
    let (id, name) = (row.id.clone(), row.name.clone());
    txn.put(row)?;
    txn.event("agent.resumed", &id, json!({ "name": name }));
    Ok(())
}

/// Sets a bead aside: it is neither ready nor given to an agent; a session that it has goes on.
pub(crate) fn park(txn: &mut ScopedTxn<'_>, input: &ParkBead) -> Result<Bead> {
    check(&input.reason, input.until, txn.now())?;
    let mut row = txn.bead(&input.id)?;
    beads::check_version(&row, input.expected_version)?;
    if row.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "not_an_issue",
            format!("bead {} is a {}; only issues are parked", row.id, row.kind),
        )
        .with("bead", &row.id)
        .with("kind", row.kind));
    }
    if row.status.is_terminal() {
        return Err(Error::conflict("bead_terminal", format!("bead {} is {}", row.id, row.status))
            .with("bead", &row.id)
            .with("status", row.status));
    }
    row.parked_reason = Some(input.reason.clone());
    row.parked_until = input.until;
    let convoy = row.convoy.clone();
    txn.put_bead(row)?;
    txn.event("bead.parked", &input.id, json!({ "reason": input.reason, "until": input.until }));
    if let Some(convoy) = convoy {
        txn.mark_dirty(&convoy)?;
    }
    beads::assemble(txn.view(), txn.bead(&input.id)?)
}

/// Takes up a bead again that was set aside.
pub(crate) fn unpark(txn: &mut ScopedTxn<'_>, input: &BeadRef) -> Result<Bead> {
    let mut row = txn.bead(&input.id)?;
    if row.parked_reason.take().is_some() {
        row.parked_until = None;
        let convoy = row.convoy.clone();
        txn.put_bead(row)?;
        txn.event("bead.unparked", &input.id, json!({}));
        if let Some(convoy) = convoy {
            txn.mark_dirty(&convoy)?;
        }
    }
    beads::assemble(txn.view(), txn.bead(&input.id)?)
}

/// Ends the pauses whose time has come; answers when the next one ends.
pub(crate) fn end_due(txn: &mut ScopedTxn<'_>) -> Result<Option<Timestamp>> {
    let now = txn.now();
    let towns: Vec<TownRow> = txn.scan(Scan::new(&index::TOWNS, vec![], 1))?;
    for town in towns {
        if town.paused_until.is_some_and(|until| until <= now) {
            town_goes_on(txn, town)?;
        }
    }
    let due = |index| Scan::new(index, vec![], ENDED_MAX).upto(now.to_value());
    for rig in txn.scan::<RigRow>(due(&index::RIGS_PAUSED))? {
        rig_goes_on(txn, rig)?;
    }
    for agent in txn.scan::<AgentRow>(due(&index::AGENTS_PAUSED))? {
        agent_goes_on(txn, agent)?;
    }
    let town: Option<TownRow> = txn.scan(Scan::new(&index::TOWNS, vec![], 1))?.pop();
    let rig: Option<RigRow> = txn.scan(Scan::new(&index::RIGS_PAUSED, vec![], 1))?.pop();
    let agent: Option<AgentRow> = txn.scan(Scan::new(&index::AGENTS_PAUSED, vec![], 1))?.pop();
    let ends = [
        town.and_then(|town| town.paused_until),
        rig.and_then(|rig| rig.paused_until),
        agent.and_then(|agent| agent.paused_until),
    ];
    Ok(ends.into_iter().flatten().min())
}
