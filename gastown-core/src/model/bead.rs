//! The bead: a record of work or of talk.

use super::record::record;
use super::text_enum::text_enum;
use super::{BeadId, Error, Result, RigName, Role, Timestamp};

text_enum! {
    /// What a bead is to the library; closed, where `issue_type` is the user's own.
    pub enum BeadKind = "bead kind" {
        /// Work to be done.
        Issue = "issue",
        /// A piece of mail.
        Message = "message",
        /// A cry for help.
        Escalation = "escalation",
        /// A change waiting to be merged.
        MergeRequest = "merge_request",
        /// A batch that is brought home together.
        Convoy = "convoy",
        /// A multi-step workflow.
        Molecule = "molecule",
        /// One step of a molecule.
        Step = "step",
        /// A wait for something outside.
        Gate = "gate",
        /// A lasting identity with a role.
        Agent = "agent",
    }
}

text_enum! {
    /// Where a bead stands.
    pub enum BeadStatus = "bead status" {
        /// Waits to be done.
        Open = "open",
        /// Somebody holds it.
        InProgress = "in_progress",
        /// Its change is in the merge queue.
        InReview = "in_review",
        /// Done, or decided against.
        Closed = "closed",
        /// Given up.
        Failed = "failed",
    }
}

impl BeadStatus {
    /// The legal moves; everything else is refused.
    pub const MOVES: &'static [(Self, Self)] = &[
        (Self::Open, Self::InProgress),
        (Self::Open, Self::Closed),
        (Self::Open, Self::Failed),
        (Self::InProgress, Self::Open),
        (Self::InProgress, Self::InReview),
        (Self::InProgress, Self::Closed),
        (Self::InProgress, Self::Failed),
        (Self::InReview, Self::Open),
        (Self::InReview, Self::Closed),
        (Self::InReview, Self::Failed),
        (Self::Closed, Self::Open),
        (Self::Failed, Self::Open),
        (Self::Failed, Self::Closed),
    ];

    /// Whether nothing more happens to it by itself.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Closed | Self::Failed)
    }
}

text_enum! {
    /// Why a bead is closed or failed.
    pub enum Resolution = "resolution" {
        /// The work is done; there was nothing to merge.
        Completed = "completed",
        /// Its change is in the branch it was meant for: the target, or its convoy's.
        Merged = "merged",
        /// Its change is in the target branch, brought there by its convoy.
        Landed = "landed",
        /// Decided against.
        Cancelled = "cancelled",
        /// Another bead took its place.
        Superseded = "superseded",
        /// It says what another says.
        Duplicate = "duplicate",
        /// Given up by a person.
        Abandoned = "abandoned",
        /// Left out because a blocker failed.
        Skipped = "skipped",
        /// Failed: as many attempts as the settings allow.
        AttemptsExhausted = "attempts_exhausted",
    }
}

record! {
    /// The columns every bead has.
    pub struct BeadRow = "bead" {
        /// Identity.
        key id: BeadId,
        /// What it is to the library.
        plain kind: BeadKind,
        /// Where it stands.
        plain status: BeadStatus,
        /// Why it is closed or failed; null while it is neither.
        plain resolution: Option<Resolution>,
        /// One line, never empty.
        plain title: String,
        /// 0 critical to 4 backlog.
        plain priority: u32,
        /// The user's own word: `task`, `bug`, `feature`, `epic`, `chore`, …
        plain issue_type: String,
        /// An object of the user's keys; the prefix `gt:` is the engine's.
        plain metadata: serde_json::Value,
        /// The rig it belongs to; null for what is the town's.
        plain rig: Option<RigName>,
        /// The bead it is a part of.
        plain parent: Option<BeadId>,
        /// The convoy that brings it home.
        plain convoy: Option<BeadId>,
        /// The agent bead or the name of the person who holds it.
        plain assignee: Option<String>,
        /// Who made it.
        plain created_by: String,
        /// Its name elsewhere.
        plain external_ref: Option<String>,
        /// Not ready before.
        plain defer_until: Option<Timestamp>,
        /// Wanted by.
        plain due_at: Option<Timestamp>,
        /// Guess in minutes.
        plain estimate_minutes: Option<u32>,
        /// Why it is set aside; null where it is not.
        plain parked_reason: Option<String>,
        /// Set aside until; null for "until somebody says so".
        plain parked_until: Option<Timestamp>,
        /// Whether it was slung: the engine may give it to an agent.
        plain slung: bool,
        /// The agent it was slung to; null for any agent of its rig in the role.
        plain slung_to: Option<BeadId>,
        /// How many blocking edges are unresolved.
        plain blockers: i64,
        /// The last epoch of a dispatch or claim; it never falls.
        plain epoch: i64,
        /// Attempts that failed because of the work.
        plain failures: u32,
        /// Attempts that the machine, the runtime or the network broke off, since the last that came to an end.
        plain outages: u32,
        /// How often its change was sent back by the merge queue.
        plain reworks: u32,
        /// When the engine should look again.
        plain wake_at: Option<Timestamp>,
        /// Until when a claim without a session holds.
        volatile lease_until: Option<Timestamp>,
        /// Whether the engine should look now.
        volatile dirty: bool,
        /// Counts the changes.
        plain version: i64,
        /// When it was made.
        plain created_at: Timestamp,
        /// When it last changed.
        plain updated_at: Timestamp,
        /// When it was closed or failed.
        plain closed_at: Option<Timestamp>,
        /// The status it had where it was imported from.
        plain source_status: Option<String>,
        /// Keys of imported data that have no column here.
        plain extra: Option<serde_json::Value>,
        /// Its labels, sorted; [`LabelRow`] finds beads by one of them.
        plain labels: Vec<String>,
        /// The person who answers for it.
        plain owner: Option<String>,
        /// The document that specifies it.
        plain spec_id: Option<String>,
        /// What was said when it was closed or failed.
        plain close_reason: Option<String>,
        /// When somebody first held it.
        plain started_at: Option<Timestamp>,
        /// Whether it is kept in sight as context, and never ready.
        plain pinned: bool,
        /// Whether it is of use for a short time only: not exported, not ready unless it is asked for.
        plain ephemeral: bool,
        /// Whether it is a pattern for others, and never ready.
        plain template: bool,
        /// A number above that of everything it waits for, so that most new edges are seen to close no circle.
        plain rank: i64,
        /// How many beads are parts of it.
        plain parts: i64,
        /// How many of those are not closed.
        plain open_parts: i64,
        /// The highest number that a part's id was given; none is given twice.
        plain last_part: i64,
        /// How many comments it has.
        plain comments: i64,
        /// The role of the agents it was slung to; null for polecats.
        plain slung_role: Option<Role>,
        /// Since when it waits for an agent.
        plain slung_at: Option<Timestamp>,
        /// The queue it waits in, by [`BeadRow::lane`]; null while something of its own keeps it from running.
        plain lane: Option<String>,
        /// Attempts that failed because of the agent.
        plain agent_failures: u32,
        /// Attempts for which credentials were refused, since the last that came to an end.
        plain auth_failures: u32,
        /// Why it failed: a code, a message, a source.
        plain failure: Option<serde_json::Value>,
    }
}

impl BeadRow {
    /// The queue it belongs in: beads of one queue want the same agents and the same branch. None where it was not slung,
    /// or where something of its own keeps it from running until it changes or wakes.
    pub fn lane(&self) -> Option<String> {
        let rig = self.rig.as_ref()?;
        let waits = self.kind == BeadKind::Issue
            && self.slung
            && self.status == BeadStatus::Open
            && self.blockers == 0
            && self.wake_at.is_none()
            && (self.parked_reason.is_none() || self.parked_until.is_some())
            && !(self.pinned || self.template);
        let part = |id: &Option<BeadId>| id.as_ref().map_or("-".to_owned(), ToString::to_string);
        let role = self.slung_role.unwrap_or(Role::Polecat);
        // Its agent is free for it and for nothing else.
        let hook = if self.is_hooked() { " hook" } else { "" };
        waits.then(|| format!("{rig} {role} {} {}{hook}", part(&self.slung_to), part(&self.convoy)))
    }

    /// Whether it waits on the hook of the agent that it was slung to.
    pub fn is_hooked(&self) -> bool {
        let to = self.slung_to.as_ref().filter(|_| self.slung && self.status == BeadStatus::Open);
        to.is_some_and(|agent| self.assignee.as_deref() == Some(agent.as_str()))
    }

    /// Moves it to another status, or says why that is not legal.
    pub fn move_to(&mut self, status: BeadStatus, resolution: Option<Resolution>, now: Timestamp) -> Result<()> {
        let landed = matches!(self.resolution, Some(Resolution::Merged | Resolution::Landed));
        let reopen_of_landed = self.status == BeadStatus::Closed && landed;
        let promoted = self.status == BeadStatus::Closed
            && status == BeadStatus::Closed
            && self.resolution == Some(Resolution::Merged)
            && resolution == Some(Resolution::Landed);
        if !promoted && (!BeadStatus::MOVES.contains(&(self.status, status)) || reopen_of_landed) {
            let resolved = self.resolution.map_or(String::new(), |r| format!(" ({r})"));
            return Err(Error::conflict(
                "bead_transition",
                format!("bead {} is {}{resolved} and cannot become {status}", self.id, self.status),
            )
            .with("bead", &self.id)
            .with("from", self.status)
            .with("to", status));
        }
        debug_assert_eq!(status.is_terminal(), resolution.is_some(), "a resolution belongs to a terminal status");
        if status == BeadStatus::InProgress && self.started_at.is_none() {
            self.started_at = Some(now);
        }
        self.status = status;
        self.resolution = resolution;
        self.closed_at = status.is_terminal().then_some(now);
        Ok(())
    }
}

record! {
    /// The four texts of a bead, apart from its columns because most reads do not need them.
    pub struct BeadTextRow = "bead_text" {
        /// The bead.
        key id: BeadId,
        /// What and why.
        plain description: String,
        /// How.
        plain design: String,
        /// When it is done.
        plain acceptance: String,
        /// What was learned on the way.
        plain notes: String,
    }
}

record! {
    /// One label of one bead.
    pub struct LabelRow = "label" {
        /// The bead.
        key bead: BeadId,
        /// The label; the prefix `gt:` is the engine's.
        key label: String,
    }
}

record! {
    /// One remark about one bead.
    pub struct CommentRow = "comment" {
        /// The bead.
        key bead: BeadId,
        /// Identity within the bead.
        key id: String,
        /// Who said it.
        plain author: String,
        /// What was said.
        plain text: String,
        /// When.
        plain created_at: Timestamp,
        /// Keys of imported data that have no column here.
        plain extra: Option<serde_json::Value>,
    }
}

record! {
    /// What is left of a deleted bead, so that old data does not bring it back.
    pub struct TombstoneRow = "tombstone" {
        /// The bead that was.
        key id: BeadId,
        /// When it was deleted.
        plain deleted_at: Timestamp,
        /// Who deleted it.
        plain deleted_by: String,
        /// Why.
        plain reason: Option<String>,
        /// What it was, as a record of the interchange format.
        plain record: Option<serde_json::Value>,
    }
}

record! {
    /// A record that another program keeps beside its beads, kept for the way back.
    pub struct ForeignRow = "foreign_record" {
        /// What it is there: `memory`, `config`, …
        key source: String,
        /// Its name there.
        key name: String,
        /// The record.
        plain data: serde_json::Value,
    }
}

record! {
    /// Paths that the work on one bead means to touch; advice, not a lock.
    pub struct ReservationRow = "reservation" {
        /// The bead.
        key bead: BeadId,
        /// Which paths: a glob from the root of the repository.
        key pattern: String,
        /// The rig that the paths are of.
        plain rig: RigName,
        /// Who made it.
        plain created_by: String,
        /// When.
        plain created_at: Timestamp,
        /// Until when it holds.
        plain expires_at: Timestamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bead(status: BeadStatus, resolution: Option<Resolution>) -> BeadRow {
        let at = Timestamp::from_micros(1);
        BeadRow {
            id: BeadId::new("gt-1").unwrap(),
            kind: BeadKind::Issue,
            status,
            resolution,
            title: "t".into(),
            priority: 2,
            issue_type: "task".into(),
            metadata: serde_json::json!({}),
            rig: None,
            parent: None,
            convoy: None,
            assignee: None,
            created_by: "me".into(),
            external_ref: None,
            defer_until: None,
            due_at: None,
            estimate_minutes: None,
            parked_reason: None,
            parked_until: None,
            slung: false,
            slung_to: None,
            slung_role: None,
            slung_at: None,
            lane: None,
            blockers: 0,
            epoch: 0,
            failures: 0,
            outages: 0,
            reworks: 0,
            wake_at: None,
            lease_until: None,
            dirty: false,
            version: 1,
            created_at: at,
            updated_at: at,
            closed_at: None,
            source_status: None,
            extra: None,
            labels: Vec::new(),
            owner: None,
            spec_id: None,
            close_reason: None,
            started_at: None,
            pinned: false,
            ephemeral: false,
            template: false,
            rank: 0,
            parts: 0,
            open_parts: 0,
            last_part: 0,
            comments: 0,
            agent_failures: 0,
            auth_failures: 0,
            failure: None,
        }
    }

    #[test]
    fn every_pair_of_statuses_is_legal_or_refused_by_the_table() {
        for &from in BeadStatus::ALL {
            for &to in BeadStatus::ALL {
                let mut row = bead(from, from.is_terminal().then_some(Resolution::Cancelled));
                let resolution = to.is_terminal().then_some(Resolution::Completed);
                let result = row.move_to(to, resolution, Timestamp::from_micros(5));
                if BeadStatus::MOVES.contains(&(from, to)) {
                    result.unwrap();
                    assert_eq!((row.status, row.resolution), (to, resolution));
                    assert_eq!(row.closed_at.is_some(), to.is_terminal());
                } else {
                    assert_eq!(result.unwrap_err().code(), "bead_transition");
                    assert_eq!(row.status, from, "a refused move changes nothing");
                }
            }
        }
    }

    #[test]
    fn what_is_merged_or_landed_is_not_reopened() {
        for resolution in [Resolution::Merged, Resolution::Landed] {
            let mut row = bead(BeadStatus::Closed, Some(resolution));
            assert!(row.move_to(BeadStatus::Open, None, Timestamp::from_micros(5)).is_err());
        }
        let mut merged = bead(BeadStatus::Closed, Some(Resolution::Merged));
        merged.move_to(BeadStatus::Closed, Some(Resolution::Landed), Timestamp::from_micros(5)).unwrap();
    }
}
