//! What starts next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hold;
use super::queue::{self, Queue};
use super::room::Room;
use crate::model::value::ColumnValue as _;
use crate::model::{AgentName, AgentRow, BeadId, BeadRow, Key, Result, RigName, RigRow, Role, Timestamp};
use crate::mutant::{self, Mutant};
use crate::store::{Scan, index};
use crate::work::breaker::{self, Standing};
use crate::work::graph::ReasonKind;
use crate::work::view::View;
use crate::work::{All, drain, pool, rigs, settings};

/// The most sessions that one look begins; the rest waits for the next.
pub(crate) const BATCH: usize = 256;

/// Who gets a bead.
#[derive(Clone, Debug)]
pub(crate) enum Hand {
    /// An agent that there is.
    Known(Box<AgentRow>),
    /// One that is made for it, with this name.
    New(AgentName),
}

/// A bead that starts, and with whom.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) bead: BeadRow,
    pub(crate) hand: Hand,
    /// The name of the program that the agent runs, where its rig names one.
    pub(crate) preset: Option<String>,
    /// How many sessions its rig has besides.
    rig_running: u64,
    /// How many beads of its convoy are worked on besides; of none, the rig's beads without one.
    convoy_running: u64,
}

impl Start {
    /// A bead with which its agent goes on at once.
    pub(crate) fn again(bead: BeadRow, agent: AgentRow, preset: Option<String>) -> Self {
        Self { bead, hand: Hand::Known(Box::new(agent)), preset, rig_running: 0, convoy_running: 0 }
    }
}

/// What a look would begin.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// In order.
    pub(crate) starts: Vec<Start>,
    /// When a bead that was passed over is no longer deferred or parked.
    pub(crate) next_wake: Option<Timestamp>,
}

/// Where a bead stands among all: critical ones first, then those of the rig with the fewest sessions, then those of the
/// convoy with the fewest, then by urgency and waiting.
type Place = (bool, u64, u64, Rank);
/// A priority that waiting improves, or the plain one and then the waiting.
type Rank = (i64, i64);

/// Says which slung beads start next, at most so many; changes nothing.
///
/// Room goes in equal shares to the rigs that want it, and within a rig to its convoys, so that no flood starves another;
/// critical beads go before all shares. Within a share it is by priority, where each `dispatch.ageing_ms` of waiting
/// counts as one step, and then by waiting. A bead that was overtaken is not held by that: what holds it alone is passed
/// over, and its siblings go.
pub(crate) fn plan(view: View<'_>, most: usize) -> Result<Planned> {
    let view = view.of_town();
    let mut planned = Planned::default();
    let is_paused = hold::paused_town(view)?.is_some() && !mutant::lives(Mutant::PauseIgnored);
    if is_paused || drain::of(view)?.is_some() {
        return Ok(planned);
    }
    let mut room = Room::of(view)?;
    let most = match breaker::of_runtime(view)? {
        Standing::Well => most.min(room.left()),
        Standing::OnTrial => 1.min(room.left()),
        Standing::Held(_) => 0,
    };
    if most == 0 {
        return Ok(planned);
    }
    let mut yards = yards(view, &mut room, most)?;
    let mut shares = BTreeMap::<(usize, Option<BeadId>), u64>::new();
    let (mut used, mut names) = (BTreeSet::<BeadId>::new(), pool::Names::of(view));
    while planned.starts.len() < most {
        let Some((at, nth, place, id)) = choose(view, &mut yards, &mut room, &mut shares, &mut planned.next_wake)?
        else {
            break;
        };
        let yard = &mut yards[at];
        let role = yard.queues[nth].role;
        let full = room.full(&yard.rig.name, role, yard.preset.as_deref())?;
        if full.iter().any(|limit| limit.kind == ReasonKind::TownLimit) {
            break;
        }
        if full.iter().any(|limit| matches!(limit.kind, ReasonKind::RigLimit | ReasonKind::PresetLimit)) {
            yard.queues.clear();
            continue;
        }
        let hand = if full.is_empty() { yard.hand(nth, &mut used, &mut names)? } else { None };
        let Some(hand) = hand else {
            // Nobody is left for this queue.
            yard.queues.swap_remove(nth);
            continue;
        };
        let Some(bead) = yard.queues[nth].take(&id) else { break };
        room.take(&yard.rig.name, role, yard.preset.as_deref());
        if yard.is_on_trial {
            yard.queues.clear();
        }
        *shares.entry((at, bead.convoy.clone())).or_default() += 1;
        let (_, rig_running, convoy_running, _) = place;
        planned.starts.push(Start { bead, hand, preset: yard.preset.clone(), rig_running, convoy_running });
    }
    Ok(planned)
}

/// The bead that comes first of all: where it is, and its place.
#[allow(clippy::type_complexity, reason = "the answer is taken apart at once")]
fn choose(
    view: View<'_>,
    yards: &mut [Yard<'_>],
    room: &mut Room<'_>,
    shares: &mut BTreeMap<(usize, Option<BeadId>), u64>,
    next_wake: &mut Option<Timestamp>,
) -> Result<Option<(usize, usize, Place, BeadId)>> {
    let mut best: Option<(usize, usize, Place, BeadId)> = None;
    let mut held = |until: Timestamp| *next_wake = next_wake.iter().copied().chain([until]).min();
    for (at, yard) in yards.iter_mut().enumerate() {
        let (ageing, running) = (yard.ageing, room.running_in(&yard.rig.name)?);
        for (nth, queue) in yard.queues.iter_mut().enumerate() {
            let share = (at, queue.convoy.clone());
            let Some(bead) = queue.head(view, |bead| rank(bead, ageing), &mut held)? else { continue };
            let convoy_running = if let Some(running) = shares.get(&share) {
                *running
            } else {
                let prefix = vec![yard.rig.name.to_value(), share.1.to_value()];
                let running = view.count(&Scan::new(&index::BEADS_RUNNING, prefix, usize::MAX))?;
                *shares.entry(share).or_insert(running)
            };
            let place = (bead.priority > 0, running, convoy_running, rank(bead, ageing));
            if best.as_ref().is_none_or(|(_, _, first, id)| (&place, &bead.id) < (first, id)) {
                best = Some((at, nth, place, bead.id.clone()));
            }
        }
    }
    Ok(best)
}

fn rank(bead: &BeadRow, ageing: Duration) -> Rank {
    let since = bead.slung_at.unwrap_or(bead.created_at);
    if ageing.is_zero() {
        return (bead.priority.into(), since.as_micros());
    }
    (since.after(ageing.saturating_mul(bead.priority)).as_micros(), bead.priority.into())
}

/// A rig with room, its queues that can go, and its agents that are free.
struct Yard<'a> {
    view: View<'a>,
    rig: RigRow,
    preset: Option<String>,
    ageing: Duration,
    queues: Vec<Queue>,
    hands: BTreeMap<Role, Vec<AgentRow>>,
    pools: BTreeMap<Role, pool::Pool>,
    most: usize,
    /// Whether one session is to find out how the rig is, and no other begins until it has.
    is_on_trial: bool,
}

/// Every rig that has slung beads and could begin a session.
fn yards<'a>(view: View<'a>, room: &mut Room<'_>, most: usize) -> Result<Vec<Yard<'a>>> {
    let mut yards: Vec<Yard<'a>> = Vec::new();
    let mut passed: BTreeSet<RigName> = BTreeSet::new();
    let mut after = None;
    while let Some(bead) = queue::first(view, after.take())? {
        let (Some(lane), Some(rig)) = (bead.lane.clone(), bead.rig.clone()) else { break };
        after = Some(queue::end_of(&lane));
        let Some(at) = open(view, room, &mut yards, &passed, &rig, most)? else {
            after = Some(queue::end_of_rig(&rig));
            passed.insert(rig);
            continue;
        };
        if yards[at].can_go(&bead)? {
            yards[at].queues.push(Queue::beginning_with(view, bead)?);
        }
    }
    // Those whose wait is over and that no tick has seen yet.
    let due = Scan::new(&index::BEADS_DUE, vec![], BATCH).upto(view.now().to_value());
    for mut bead in view.scan::<BeadRow>(due)? {
        bead.wake_at = None;
        bead.lane = bead.lane();
        let Some(rig) = bead.rig.clone().filter(|_| bead.lane.is_some()) else { continue };
        let Some(at) = open(view, room, &mut yards, &passed, &rig, most)? else {
            passed.insert(rig);
            continue;
        };
        if yards[at].can_go(&bead)? {
            let mut queue = Queue::like(&bead);
            queue.push(bead);
            yards[at].queues.push(queue);
        }
    }
    Ok(yards)
}

/// Where the rig's yard is, opened where it was not; none where nothing of the rig can go.
fn open<'a>(
    view: View<'a>,
    room: &mut Room<'_>,
    yards: &mut Vec<Yard<'a>>,
    passed: &BTreeSet<RigName>,
    name: &RigName,
    most: usize,
) -> Result<Option<usize>> {
    if passed.contains(name) {
        return Ok(None);
    }
    if let Some(at) = yards.iter().position(|yard| yard.rig.name == *name) {
        return Ok(Some(at));
    }
    let rig = rigs::row(view, name)?;
    let preset: Option<String> = settings::resolve(view, Some(name), "agent.preset")?;
    let is_full = |kind| matches!(kind, ReasonKind::RigLimit | ReasonKind::PresetLimit);
    let full = room.full(name, Role::Polecat, preset.as_deref())?;
    if hold::is_rig_paused(&rig, view.now()) || full.iter().any(|limit| is_full(limit.kind)) {
        return Ok(None);
    }
    let standing = breaker::of_rig(view, name)?;
    if matches!(standing, Standing::Held(_)) {
        return Ok(None);
    }
    let is_on_trial = standing == Standing::OnTrial;
    let ageing = settings::duration(view, Some(name), "dispatch.ageing_ms")?;
    let (queues, hands, pools) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    yards.push(Yard { view, rig, preset, ageing, queues, hands, pools, most, is_on_trial });
    Ok(Some(yards.len() - 1))
}

impl Yard<'_> {
    /// Whether a queue that begins with the bead can go: its branch is there, and somebody is free for it.
    fn can_go(&mut self, bead: &BeadRow) -> Result<bool> {
        if hold::of_queue(self.view, bead)?.is_some() {
            return Ok(false);
        }
        if bead.slung_to.is_some() {
            return Ok(true);
        }
        let role = bead.slung_role.unwrap_or(Role::Polecat);
        self.look_at(role)?;
        Ok(!self.hands[&role].is_empty() || self.pools[&role].has_room())
    }

    /// Counts the agents of a role, once.
    fn look_at(&mut self, role: Role) -> Result<()> {
        if !self.hands.contains_key(&role) {
            let mut hands = pool::hands(self.view, &self.rig.name, role, self.most)?;
            // Taken from the end.
            hands.reverse();
            self.hands.insert(role, hands);
            self.pools.insert(role, pool::Pool::of(self.view, &self.rig.name, role)?);
        }
        Ok(())
    }

    /// Somebody who is free for a queue and not among the used.
    fn hand(&mut self, nth: usize, used: &mut BTreeSet<BeadId>, names: &mut pool::Names<'_>) -> Result<Option<Hand>> {
        let (agent, role) = (self.queues[nth].agent.clone(), self.queues[nth].role);
        if let Some(id) = agent {
            let agent: Option<AgentRow> = self.view.find(&Key::agent(&id))?;
            return Ok(agent.filter(|agent| used.insert(agent.id.clone())).map(Box::new).map(Hand::Known));
        }
        self.look_at(role)?;
        let hands = self.hands.entry(role).or_default();
        while let Some(agent) = hands.pop() {
            if used.insert(agent.id.clone()) {
                return Ok(Some(Hand::Known(Box::new(agent))));
            }
        }
        let Some(pool) = self.pools.get_mut(&role).filter(|pool| pool.has_room()) else { return Ok(None) };
        pool.agents += 1;
        if let Some(agent) = pool::put_away(self.view, &self.rig.name, role, used)? {
            used.insert(agent.id.clone());
            return Ok(Some(Hand::Known(Box::new(agent))));
        }
        Ok(Some(Hand::New(names.free()?)))
    }
}

/// A session that the engine would begin, and why just this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedStart {
    /// The bead.
    pub bead: BeadId,
    /// Where.
    pub rig: RigName,
    /// The convoy that brings it home.
    pub convoy: Option<BeadId>,
    /// Who gets it.
    pub agent: AgentName,
    /// Whether the agent is made for it.
    pub is_new_agent: bool,
    /// Its priority: critical ones, 0, go first of all.
    pub priority: u32,
    /// Since when it waits.
    pub slung_at: Timestamp,
    /// How many sessions its rig has before: the rig with the fewest goes first.
    pub rig_running: u64,
    /// How many beads of its convoy are worked on before: the convoy with the fewest goes first.
    pub convoy_running: u64,
}

/// What the engine would start next, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPlan {
    /// The sessions, at most 256.
    pub starts: Vec<PlannedStart>,
}

/// Says what the engine would start now, without changing anything.
pub(crate) fn next(view: View<'_>, _: &All) -> Result<StartPlan> {
    let is_seen = |start: &Start| view.scope().rig().is_none_or(|rig| start.bead.rig.as_ref() == Some(rig));
    let starts = plan(view, BATCH)?.starts.into_iter().filter(is_seen).filter_map(PlannedStart::of).collect();
    Ok(StartPlan { starts })
}

impl PlannedStart {
    fn of(start: Start) -> Option<Self> {
        let Start { bead, hand, rig_running, convoy_running, .. } = start;
        let (agent, is_new_agent) = match hand {
            Hand::Known(agent) => (agent.name, false),
            Hand::New(name) => (name, true),
        };
        Some(Self {
            rig: bead.rig?,
            convoy: bead.convoy,
            agent,
            is_new_agent,
            priority: bead.priority,
            slung_at: bead.slung_at.unwrap_or(bead.created_at),
            rig_running,
            convoy_running,
            bead: bead.id,
        })
    }
}
