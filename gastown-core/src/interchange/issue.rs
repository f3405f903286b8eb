//! The issue as `bd` and `br` exchange it.

use serde_json::Value;

use super::edge::{Comment, Edge};
use super::record::keyed;
use super::time::Time;

keyed! {
    /// One issue, with every key of every dialect; fields are named like their keys.
    ///
    /// Texts are empty, numbers and times are none where the key is absent, null or empty; `forms` knows which.
    ///
    /// ```
    /// use gastown_core::interchange::{Dialect, Issue, write_issue};
    /// let issue = Issue { id: "gt-a3f".into(), title: "Mend the pump".into(), ..Issue::default() };
    /// let mut line = Vec::new();
    /// write_issue(&issue, Dialect::Bd, &mut line).unwrap();
    /// assert!(line.starts_with(br#"{"_type":"issue","id":"gt-a3f","title":"Mend the pump","status":"open","priority":2,"#));
    /// ```
    pub struct Issue {
        /// What the line is: `issue` in newer files.
        maybe record_type / RecordType = "_type": String,
        /// Identity; never empty.
        always id / Id = "id": String,
        /// One line.
        always title / Title = "title": String,
        /// What and why.
        maybe description / Description = "description": String,
        /// How.
        maybe design / Design = "design": String,
        /// When it is done.
        maybe acceptance_criteria / AcceptanceCriteria = "acceptance_criteria": String,
        /// What was learned on the way.
        maybe notes / Notes = "notes": String,
        /// A document it comes from.
        maybe spec_id / SpecId = "spec_id": String,
        /// Where it stands; any word.
        always status / Status = "status": String = "open".to_owned(),
        /// 0 critical to 4 backlog.
        always priority / Priority = "priority": u8 = 2,
        /// What it is: `task`, `bug`, …; any word.
        always issue_type / IssueType = "issue_type": String = "task".to_owned(),
        /// Who has it.
        maybe assignee / Assignee = "assignee": String,
        /// The person answerable for it.
        maybe owner / Owner = "owner": String,
        /// Guess in minutes.
        maybe estimated_minutes / EstimatedMinutes = "estimated_minutes": Option<i64>,
        /// When it was made.
        always created_at / CreatedAt = "created_at": Option<Time>,
        /// Who made it.
        maybe created_by / CreatedBy = "created_by": String,
        /// When it last changed.
        always updated_at / UpdatedAt = "updated_at": Option<Time>,
        /// When it was first begun.
        maybe started_at / StartedAt = "started_at": Option<Time>,
        /// When it was closed.
        maybe closed_at / ClosedAt = "closed_at": Option<Time>,
        /// Why it was closed.
        maybe close_reason / CloseReason = "close_reason": String,
        /// How it ended, in a word of ours, where neither the status nor `close_reason` say it.
        maybe resolution / Resolution = "resolution": String,
        /// The agent session that closed it.
        maybe closed_by_session / ClosedBySession = "closed_by_session": String,
        /// Wanted by.
        maybe due_at / DueAt = "due_at": Option<Time>,
        /// Not ready before.
        maybe defer_until / DeferUntil = "defer_until": Option<Time>,
        /// Why it is set aside, where the status does not say it; only a town has it.
        maybe parked_reason / ParkedReason = "parked_reason": String,
        /// Until when it is set aside.
        maybe parked_until / ParkedUntil = "parked_until": Option<Time>,
        /// Its name elsewhere.
        maybe external_ref / ExternalRef = "external_ref": String,
        /// The system it came from.
        maybe source_system / SourceSystem = "source_system": String,
        /// The user's own keys.
        maybe metadata / Metadata = "metadata": Option<Value>,
        /// How often it was compacted.
        maybe compaction_level / CompactionLevel = "compaction_level": Option<i64>,
        /// When it was last compacted.
        maybe compacted_at / CompactedAt = "compacted_at": Option<Time>,
        /// The commit that holds what it was before.
        maybe compacted_at_commit / CompactedAtCommit = "compacted_at_commit": String,
        /// Its size in bytes before compaction.
        maybe original_size / OriginalSize = "original_size": Option<i64>,
        /// Labels, in the order of the file.
        maybe labels / Labels = "labels": Vec<String>,
        /// The edges that begin here.
        maybe dependencies / Dependencies = "dependencies": Vec<Edge>,
        /// Comments.
        maybe comments / Comments = "comments": Vec<Comment>,
        /// Who sent it, where it is a message.
        maybe sender / Sender = "sender": String,
        /// Whether it is a wisp, which is not exported by its own tools.
        maybe ephemeral / Ephemeral = "ephemeral": bool,
        /// The older name of `ephemeral`.
        maybe wisp / Wisp = "wisp": bool,
        /// Whether it has no history.
        maybe no_history / NoHistory = "no_history": bool,
        /// What kind of wisp.
        maybe wisp_type / WispType = "wisp_type": String,
        /// Whether it is a marker and never ready.
        maybe pinned / Pinned = "pinned": bool,
        /// Whether it is a template.
        maybe is_template / IsTemplate = "is_template": bool,
        /// The templates it was made from.
        maybe bonded_from / BondedFrom = "bonded_from": Option<Value>,
        /// What a gate waits for.
        maybe await_type / AwaitType = "await_type": String,
        /// Which one a gate waits for.
        maybe await_id / AwaitId = "await_id": String,
        /// How long a gate waits, in nanoseconds.
        maybe timeout / Timeout = "timeout": Option<i64>,
        /// The name of `timeout` in table dumps.
        maybe timeout_ns / TimeoutNs = "timeout_ns": Option<i64>,
        /// Who is told when a gate opens.
        maybe waiters / Waiters = "waiters": Vec<String>,
        /// The formula it was made by.
        maybe source_formula / SourceFormula = "source_formula": String,
        /// The step of the formula.
        maybe source_location / SourceLocation = "source_location": String,
        /// What kind of molecule.
        maybe mol_type / MolType = "mol_type": String,
        /// Whether one or many may work on it.
        maybe work_type / WorkType = "work_type": String,
        /// What kind of event, where it is one.
        maybe event_kind / EventKind = "event_kind": String,
        /// Who did what the event tells.
        maybe actor / Actor = "actor": String,
        /// To what it was done.
        maybe target / Target = "target": String,
        /// What belongs to the event.
        maybe payload / Payload = "payload": String,
        /// A hash of the content, by older tools.
        maybe content_hash / ContentHash = "content_hash": String,
        /// The repository it came from.
        maybe source_repo / SourceRepo = "source_repo": String,
        /// When it was deleted; tombstones have it.
        maybe deleted_at / DeletedAt = "deleted_at": Option<Time>,
        /// Who deleted it.
        maybe deleted_by / DeletedBy = "deleted_by": String,
        /// Why it was deleted.
        maybe delete_reason / DeleteReason = "delete_reason": String,
        /// What it was before it was deleted.
        maybe original_type / OriginalType = "original_type": String,
        /// What an agent is doing.
        maybe agent_state / AgentState = "agent_state": String,
        /// What hangs on an agent's hook.
        maybe hook_bead / HookBead = "hook_bead": String,
        /// The bead of an agent's role.
        maybe role_bead / RoleBead = "role_bead": String,
        /// An agent's role.
        maybe role_type / RoleType = "role_type": String,
        /// An agent's rig.
        maybe rig / Rig = "rig": String,
        /// When an agent was last seen.
        maybe last_activity / LastActivity = "last_activity": Option<Time>,
        /// A mark of older tools.
        maybe crystallizes / Crystallizes = "crystallizes": bool,
        /// A mark of older tools.
        maybe quality_score / QualityScore = "quality_score": Option<Value>,
        /// The message it answers, in older files.
        maybe replies_to / RepliesTo = "replies_to": String,
        /// What took its place, in older files.
        maybe superseded_by / SupersededBy = "superseded_by": String,
        /// What says the same, in older files.
        maybe duplicate_of / DuplicateOf = "duplicate_of": String,
        /// How many edges begin here, as counted by the writer.
        maybe dependency_count / DependencyCount = "dependency_count": Option<i64>,
        /// How many edges end here, as counted by the writer.
        maybe dependent_count / DependentCount = "dependent_count": Option<i64>,
        /// How many comments, as counted by the writer.
        maybe comment_count / CommentCount = "comment_count": Option<i64>,
        /// The parent, as found by the writer.
        maybe parent / Parent = "parent": String,
    }
}

impl Issue {
    /// Whether it stands for a deleted issue.
    pub fn is_tombstone(&self) -> bool {
        self.status == "tombstone"
    }

    /// When it last changed; nothing where no time is known.
    pub(super) fn changed_at(&self) -> Option<i64> {
        self.updated_at.as_ref().or(self.created_at.as_ref()).map(|time| time.at.as_micros())
    }
}
