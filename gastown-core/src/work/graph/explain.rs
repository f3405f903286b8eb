//! Why a bead does not run: every fact that keeps it.

use serde::{Deserialize, Serialize};

use super::Pages;
use super::count::{counts, is_resolved};
use super::link::{Idle, idle};
use crate::model::text_enum::text_enum;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, DependencyKind, DependencyRow, Key, Resolution, Result, Timestamp, WaitGate,
};
use crate::store::{Scan, index};
use crate::work::beads::BeadRef;
use crate::work::view::{View, text};
use crate::work::{ready, schedule};

/// The most reasons of one answer.
const REASONS_MAX: usize = 200;
/// How many of the parts that somebody waits for are named.
const PARTS_MAX: usize = 20;
/// How many parents above each other are looked at.
const PARENTS_MAX: usize = 1_000;

text_enum! {
    /// What sort of fact keeps a bead from running.
    pub enum ReasonKind = "reason" {
        /// It is no issue.
        Kind = "kind",
        /// It is not open.
        Status = "status",
        /// Somebody holds it, until a time where the claim has one.
        Held = "held",
        /// It was given to the engine, which runs it by itself.
        Slung = "slung",
        /// An edge of it counts.
        Edge = "edge",
        /// A part that an edge or an epic waits for is not closed.
        OpenPart = "open_part",
        /// It is a part of a bead that waits itself.
        Parent = "parent",
        /// It is deferred until a time.
        Deferred = "deferred",
        /// It is set aside, until a time where there is one.
        Parked = "parked",
        /// It is kept as context.
        Pinned = "pinned",
        /// It is a pattern for others.
        Template = "template",
        /// It is of use for a short time only, and ready only for who asks for such.
        Ephemeral = "ephemeral",
        /// It failed or was refused, and is tried again at a time.
        Backoff = "backoff",
        /// Nothing of the town is handed out, until a time where there is one.
        TownPaused = "town_paused",
        /// The engine's host is going away; sessions begin again with the next engine.
        Draining = "draining",
        /// Nothing of its rig is handed out, until a time where there is one.
        RigPaused = "rig_paused",
        /// Sessions of its rig, or of the town, failed because of the outside world, and none is begun until a time.
        Breaker = "breaker",
        /// The agent that it was slung to is paused, until a time where there is one.
        AgentPaused = "agent_paused",
        /// The agent that it was slung to works no more.
        AgentRetired = "agent_retired",
        /// The agent that it was slung to has another bead.
        AgentBusy = "agent_busy",
        /// No agent of its rig in the role is idle, and none is made.
        NoIdleAgent = "no_idle_agent",
        /// The town has as many sessions as it may.
        TownLimit = "town_limit",
        /// Its rig has as many sessions as it may.
        RigLimit = "rig_limit",
        /// There are as many sessions of agents in the role as there may be.
        RoleLimit = "role_limit",
        /// There are as many sessions of the program that its rig's agents run as there may be.
        PresetLimit = "preset_limit",
        /// Its convoy has no branch yet.
        NoBranch = "no_branch",
        /// Others come first, and they get what there is of agents and room.
        Turn = "turn",
        /// Its type is no work of its own, as long as an epic has open parts; it is ready only for who asks for the type.
        Type = "type",
    }
}

text_enum! {
    /// Why an edge counts.
    pub enum WaitReason = "wait reason" {
        /// The other bead is not done.
        NotDone = "not_done",
        /// The other bead failed.
        Failed = "failed",
        /// The other bead's work is in its convoy's branch and not landed.
        NotLanded = "not_landed",
        /// It is not decided whether the other bead fails.
        NotDecided = "not_decided",
        /// Parts of the other bead are not closed.
        PartsOpen = "parts_open",
        /// No part of the other bead is closed yet.
        NoPartClosed = "no_part_closed",
        /// The other bead, its parent, waits itself.
        Blocked = "blocked",
        /// The other bead cannot be read, or it lies in quarantine.
        Unreadable = "unreadable",
    }
}

/// One fact; what does not belong to its sort is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What sort of fact it is.
    pub reason: ReasonKind,
    /// The bead that it is about: the one that was asked about, or one that it is a part of.
    pub bead: BeadId,
    /// The other bead: what an edge waits for, the open part, the parent, the agent that it was slung to, what that works
    /// on, the convoy without a branch.
    pub other: Option<BeadId>,
    /// What the edge means.
    pub kind: Option<DependencyKind>,
    /// The status of the other bead, or of the bead where that is the reason.
    pub status: Option<BeadStatus>,
    /// Why the edge counts.
    pub why: Option<WaitReason>,
    /// Who holds it.
    pub by: Option<String>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// What was said.
    pub text: Option<String>,
    /// How many there are of what is limited: sessions, or agents.
    pub running: Option<u64>,
    /// How many there may be.
    pub limit: Option<u64>,
}

impl Reason {
    pub(crate) fn of(bead: &BeadId, reason: ReasonKind) -> Self {
        Self {
            reason,
            bead: bead.clone(),
            other: None,
            kind: None,
            status: None,
            why: None,
            by: None,
            until: None,
            text: None,
            running: None,
            limit: None,
        }
    }
}

text_enum! {
    /// Why a stored edge counts for nothing.
    pub enum LooseReason = "loose reason" {
        /// It would close a circle.
        Circle = "circle",
        /// The bead is a part of another one already.
        SecondParent = "second_parent",
        /// What it waits for is not there.
        NoTarget = "no_target",
        /// The bead that waits is not there.
        NoWaiter = "no_waiter",
    }
}

/// An edge of imported data that is kept and counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LooseEdge {
    /// The bead that would wait.
    pub bead: BeadId,
    /// What it would wait for.
    pub on_bead: BeadId,
    /// What the edge means.
    pub kind: DependencyKind,
    /// Why it does not count.
    pub why: LooseReason,
    /// The circle that it would close, from a bead to the same; empty otherwise. Of more than 100 beads, the first 50 and
    /// the last.
    pub circle: Vec<BeadId>,
}

/// The edge where it counts for nothing.
pub(super) fn loose(view: View<'_>, edge: DependencyRow) -> Result<Option<LooseEdge>> {
    if !edge.kind.is_acyclic() {
        return Ok(None);
    }
    let (why, circle) = match idle(&edge) {
        Some(Idle::Circle { circle }) => (LooseReason::Circle, circle),
        Some(Idle::SecondParent { .. }) => (LooseReason::SecondParent, vec![]),
        Some(Idle::NoWaiter) => (LooseReason::NoWaiter, vec![]),
        // What counts on a bead that is not there waits for one in quarantine.
        None if !edge.counted && is_missing(view, &edge.on_bead)? => (LooseReason::NoTarget, vec![]),
        None => return Ok(None),
    };
    Ok(Some(LooseEdge { bead: edge.bead, on_bead: edge.on_bead, kind: edge.kind, why, circle }))
}

/// Why a bead runs or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Which bead.
    pub bead: BeadId,
    /// Whether it is in the list of what is ready.
    pub is_ready: bool,
    /// Every fact that keeps it, those of the beads that it is a part of included; at most 200.
    pub reasons: Vec<Reason>,
    /// Whether there are more.
    pub more: bool,
    /// Edges of it that count for nothing.
    pub loose: Vec<LooseEdge>,
}

fn is_missing(view: View<'_>, id: &BeadId) -> Result<bool> {
    match view.find::<BeadRow>(&Key::bead(id)) {
        Err(error) if error.code() == "row_unreadable" => Ok(false),
        found => Ok(found?.is_none()),
    }
}

/// Explains why a bead is ready, or what keeps it.
pub(crate) fn explain(view: View<'_>, input: &BeadRef) -> Result<Explanation> {
    let row = view.bead(&input.id)?;
    let mut found = Found { view, reasons: Vec::new(), more: false, loose: Vec::new() };
    found.own(&row)?;
    schedule::holds(view, &row)?.into_iter().for_each(|reason| found.push(reason));
    found.edges(&row, true)?;
    let mut at = row.clone();
    for level in 0.. {
        let Some(parent) = at.parent.clone().filter(|_| at.blockers > 0 && !found.more) else { break };
        let Some(next) = view.find_readable::<BeadRow>(&Key::bead(&parent))? else { break };
        if next.blockers == 0 {
            break;
        }
        if level == PARENTS_MAX {
            found.more = true;
            break;
        }
        let (other, status, why) = (Some(parent), Some(next.status), Some(WaitReason::Blocked));
        let kind = Some(DependencyKind::ParentChild);
        found.push(Reason { other, kind, status, why, ..Reason::of(&at.id, ReasonKind::Parent) });
        found.edges(&next, false)?;
        at = next;
    }
    let is_ready = ready::is_listed(&row, view.now());
    let Found { reasons, more, loose, .. } = found;
    Ok(Explanation { bead: row.id, is_ready, reasons, more, loose })
}

struct Found<'a> {
    view: View<'a>,
    reasons: Vec<Reason>,
    more: bool,
    loose: Vec<LooseEdge>,
}

impl Found<'_> {
    fn push(&mut self, reason: Reason) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        } else {
            self.more = true;
        }
    }

    /// What the bead's own columns say.
    fn own(&mut self, row: &BeadRow) -> Result<()> {
        let reason = |reason| Reason::of(&row.id, reason);
        if row.kind != BeadKind::Issue {
            self.push(Reason { text: Some(row.kind.to_string()), ..reason(ReasonKind::Kind) });
        }
        let now = self.view.now();
        // A claim that ran out keeps nobody.
        let ran_out = ready::ran_out(row, now);
        if row.status != BeadStatus::Open && !ran_out {
            let (status, text) = (Some(row.status), row.close_reason.clone());
            self.push(Reason { status, text, ..reason(ReasonKind::Status) });
        }
        // What was slung is given to an agent whoever it was meant for.
        let waits = row.slung && row.rig.is_some() && row.status == BeadStatus::Open;
        if let Some(by) = row.assignee.as_ref().filter(|_| !ran_out && !waits) {
            self.push(Reason { by: Some(by.clone()), until: row.lease_until, ..reason(ReasonKind::Held) });
        }
        if row.slung {
            self.push(Reason { other: row.slung_to.clone(), ..reason(ReasonKind::Slung) });
        }
        if row.defer_until.is_some_and(|until| until > now) {
            self.push(Reason { until: row.defer_until, ..reason(ReasonKind::Deferred) });
        }
        if row.parked_reason.is_some() && row.parked_until.is_none_or(|until| until > now) {
            let (until, text) = (row.parked_until, row.parked_reason.clone());
            self.push(Reason { until, text, ..reason(ReasonKind::Parked) });
        }
        for (is, kind) in [
            (row.pinned, ReasonKind::Pinned),
            (row.template, ReasonKind::Template),
            (row.ephemeral && !waits, ReasonKind::Ephemeral),
        ] {
            if is {
                self.push(reason(kind));
            }
        }
        if !ready::is_work(row) && !waits {
            self.push(Reason { text: Some(row.issue_type.clone()), ..reason(ReasonKind::Type) });
            if row.issue_type == "epic" {
                self.open_parts(row)?;
            }
        }
        Ok(())
    }

    /// What the bead's edges say; the one to its parent is followed by the caller.
    fn edges(&mut self, row: &BeadRow, is_asked: bool) -> Result<()> {
        let mut pages = Pages::dependencies(&row.id);
        while let Some(page) = pages.next(self.view)? {
            for edge in page.into_iter().filter(|edge| edge.kind.is_acyclic()) {
                if self.more {
                    return Ok(());
                }
                let on: Option<BeadRow> = self.view.find_readable(&Key::bead(&edge.on_bead))?;
                if on.is_none() && edge.counted {
                    let (other, kind, why) = (Some(edge.on_bead), Some(edge.kind), Some(WaitReason::Unreadable));
                    self.push(Reason { other, kind, why, ..Reason::of(&row.id, ReasonKind::Edge) });
                    continue;
                }
                if !counts(self.view, &edge, row, on.as_ref())? {
                    if is_asked && self.loose.len() < REASONS_MAX {
                        self.loose.extend(loose(self.view, edge)?);
                    }
                    continue;
                }
                let Some(on) = on.filter(|_| edge.kind != DependencyKind::ParentChild) else { continue };
                let why = Some(self.why(&edge, row, &on)?);
                let (other, kind, status) = (Some(on.id.clone()), Some(edge.kind), Some(on.status));
                self.push(Reason { other, kind, status, why, ..Reason::of(&row.id, ReasonKind::Edge) });
                if edge.kind == DependencyKind::WaitsFor {
                    self.open_parts(&on)?;
                }
            }
        }
        Ok(())
    }

    fn why(&self, edge: &DependencyRow, row: &BeadRow, on: &BeadRow) -> Result<WaitReason> {
        Ok(match edge.kind {
            DependencyKind::WaitsFor if edge.gate == Some(WaitGate::AnyChildren) => WaitReason::NoPartClosed,
            DependencyKind::WaitsFor => WaitReason::PartsOpen,
            DependencyKind::ConditionalBlocks => WaitReason::NotDecided,
            _ if on.status == BeadStatus::Failed => WaitReason::Failed,
            _ if on.resolution == Some(Resolution::Merged) && !is_resolved(self.view, row, on)? => {
                WaitReason::NotLanded
            }
            _ => WaitReason::NotDone,
        })
    }

    /// Names some of the parts that are not closed.
    fn open_parts(&mut self, of: &BeadRow) -> Result<()> {
        let mut open = Vec::new();
        self.view.walk::<BeadRow>(Scan::new(&index::BEADS_BY_PARENT, vec![text(&of.id)], 0), |part| {
            if part.status != BeadStatus::Closed {
                open.push(part);
            }
            Ok(open.len() <= PARTS_MAX)
        })?;
        self.more |= open.len() > PARTS_MAX;
        for part in open.into_iter().take(PARTS_MAX) {
            let (other, status) = (Some(part.id), Some(part.status));
            self.push(Reason { other, status, ..Reason::of(&of.id, ReasonKind::OpenPart) });
        }
        Ok(())
    }
}
