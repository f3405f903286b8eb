//! The queues that slung beads wait in.

use std::collections::VecDeque;

use crate::model::value::Value;
use crate::model::{BeadId, BeadRow, Result, Role, Timestamp};
use crate::store::{Position, Scan, index};
use crate::work::ready::is_ready;
use crate::work::view::{View, text};

/// How many beads of a queue are read at once.
const PAGE: usize = 16;

/// Beads that want the same agents and the same branch, most urgent first.
pub(super) struct Queue {
    /// The agent they were slung to; any in the role where there is none.
    pub(super) agent: Option<BeadId>,
    /// The role of the agents.
    pub(super) role: Role,
    /// The convoy that brings them home.
    pub(super) convoy: Option<BeadId>,
    /// The beads of one priority each, those that wait longest in front.
    streams: Vec<Stream>,
}

struct Stream {
    beads: VecDeque<BeadRow>,
    /// Behind which bead there may be more.
    after: Option<Position>,
}

/// The place behind every bead of a queue, or behind every queue of a rig.
pub(super) fn end_of(lane: &str) -> Position {
    behind(lane, i64::MAX)
}

/// The place behind every queue of a rig.
pub(super) fn end_of_rig(rig: impl AsRef<str>) -> Position {
    // The name of a rig is followed by a blank, and "!" comes next.
    end_of(&format!("{}!", rig.as_ref()))
}

fn behind(lane: &str, priority: i64) -> Position {
    Position(vec![text(lane), Value::Int(priority), Value::Int(i64::MAX), text("")])
}

fn place_of(lane: &str, bead: &BeadRow) -> Position {
    let slung_at = bead.slung_at.unwrap_or(bead.created_at).as_micros();
    Position(vec![text(lane), Value::Int(bead.priority.into()), Value::Int(slung_at), text(&bead.id)])
}

/// The first bead behind a place.
pub(super) fn first(view: View<'_>, after: Option<Position>) -> Result<Option<BeadRow>> {
    Ok(view.scan::<BeadRow>(Scan::new(&index::BEADS_SLUNG, vec![], 1).after(after))?.pop())
}

impl Queue {
    /// A queue without beads, of those that this one stands with.
    pub(super) fn like(bead: &BeadRow) -> Self {
        Self {
            agent: bead.slung_to.clone(),
            role: bead.slung_role.unwrap_or(Role::Polecat),
            convoy: bead.convoy.clone(),
            streams: Vec::new(),
        }
    }

    /// The queue that begins with a bead.
    pub(super) fn beginning_with(view: View<'_>, bead: BeadRow) -> Result<Self> {
        let mut queue = Self::like(&bead);
        let lane = bead.lane.clone().unwrap_or_default();
        let mut head = Some(bead);
        while let Some(bead) = head.filter(|bead| bead.lane.as_ref() == Some(&lane)) {
            let next = behind(&lane, i64::from(bead.priority));
            let place = place_of(&lane, &bead);
            queue.streams.push(Stream { beads: VecDeque::from([bead]), after: Some(place) });
            head = first(view, Some(next))?;
        }
        Ok(queue)
    }

    /// One bead more, whose wait is over.
    pub(super) fn push(&mut self, bead: BeadRow) {
        self.streams.push(Stream { beads: VecDeque::from([bead]), after: None });
    }

    /// The bead that comes first by `rank`; `held` is told until when those are held that it passes over.
    pub(super) fn head<R: Ord>(
        &mut self,
        view: View<'_>,
        rank: impl Fn(&BeadRow) -> R,
        held: &mut impl FnMut(Timestamp),
    ) -> Result<Option<&BeadRow>> {
        for stream in &mut self.streams {
            stream.fill(view, held)?;
        }
        Ok(self
            .streams
            .iter()
            .filter_map(|stream| stream.beads.front())
            .min_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id))))
    }

    /// Takes a bead that is at the head.
    pub(super) fn take(&mut self, id: &BeadId) -> Option<BeadRow> {
        let stream = self.streams.iter_mut().find(|stream| stream.beads.front().is_some_and(|bead| bead.id == *id))?;
        stream.beads.pop_front()
    }
}

impl Stream {
    /// Brings a bead to the front that waits for nothing but an agent.
    fn fill(&mut self, view: View<'_>, held: &mut impl FnMut(Timestamp)) -> Result<()> {
        let now = view.now();
        loop {
            while let Some(bead) = self.beads.front() {
                if is_ready(bead, now) {
                    return Ok(());
                }
                [bead.defer_until, bead.parked_until].into_iter().flatten().filter(|at| *at > now).for_each(&mut *held);
                self.beads.pop_front();
            }
            let Some(after) = self.after.take() else { return Ok(()) };
            let same: Vec<Value> = after.0[..2].to_vec();
            let page: Vec<BeadRow> = view.scan(Scan::new(&index::BEADS_SLUNG, vec![], PAGE).after(Some(after)))?;
            let is_full = page.len() == PAGE;
            for bead in page {
                let place = place_of(bead.lane.as_deref().unwrap_or_default(), &bead);
                if place.0[..2] != same[..] {
                    self.after = None;
                    break;
                }
                self.after = is_full.then_some(place);
                self.beads.push_back(bead);
            }
        }
    }
}
