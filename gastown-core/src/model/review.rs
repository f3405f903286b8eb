//! Merge requests: changes waiting to be merged.

use super::record::record;
use super::text_enum::text_enum;
use super::{BeadId, Error, Oid, Result, RigName, SessionId, Timestamp};

text_enum! {
    /// Where a merge request stands.
    pub enum ReviewState = "review state" {
        /// Waits its turn.
        Queued = "queued",
        /// Its merge commit is made and tested.
        Building = "building",
        /// The gates passed on the merge commit.
        Passed = "passed",
        /// The merge commit is being put on the target.
        Publishing = "publishing",
        /// The target holds it, proven by ancestry.
        Merged = "merged",
        /// A gate failed; sent back.
        Rework = "rework",
        /// It does not merge; sent back.
        Conflict = "conflict",
        /// Taken out of the queue after too many tries.
        Ejected = "ejected",
        /// Given up by a person.
        Abandoned = "abandoned",
        /// A later change of the same bead took its place.
        Superseded = "superseded",
    }
}

impl ReviewState {
    /// The legal moves; everything else is refused.
    pub const MOVES: &'static [(Self, Self)] = &[
        (Self::Queued, Self::Building),
        (Self::Queued, Self::Merged),
        (Self::Queued, Self::Ejected),
        (Self::Queued, Self::Abandoned),
        (Self::Queued, Self::Superseded),
        (Self::Building, Self::Queued),
        (Self::Building, Self::Passed),
        (Self::Building, Self::Merged),
        (Self::Building, Self::Rework),
        (Self::Building, Self::Conflict),
        (Self::Building, Self::Ejected),
        (Self::Building, Self::Abandoned),
        (Self::Building, Self::Superseded),
        (Self::Passed, Self::Publishing),
        (Self::Passed, Self::Queued),
        (Self::Passed, Self::Abandoned),
        (Self::Passed, Self::Superseded),
        (Self::Publishing, Self::Merged),
        (Self::Publishing, Self::Queued),
        (Self::Publishing, Self::Ejected),
    ];

    /// Whether nothing more happens to it.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Building | Self::Passed | Self::Publishing)
    }
}

record! {
    /// The detail of a merge request; its bead has the same id.
    pub struct MergeRequestRow = "bead_detail_merge_request" {
        /// The merge request's bead.
        key id: BeadId,
        /// The bead or the convoy whose work it is.
        plain source: BeadId,
        /// Where.
        plain rig: RigName,
        /// The session that made it; null for a convoy's.
        plain session: Option<SessionId>,
        /// The published branch, without `refs/heads/`.
        plain branch: String,
        /// Where it goes, without `refs/heads/`.
        plain target: String,
        /// The commit it is pinned to.
        plain head: Oid,
        /// Where it stands.
        plain state: ReviewState,
        /// Whether the remote holds the head under the published branch.
        plain published: bool,
        /// The target's commit the merge was made on.
        plain target_oid: Option<Oid>,
        /// The merge commit that is tested.
        plain merge_oid: Option<Oid>,
        /// The commit on the target that brought it in.
        plain landed_oid: Option<Oid>,
        /// How often a merge commit was made.
        plain attempts: u32,
        /// The files that do not merge, or the gate's last words.
        plain problem: Option<serde_json::Value>,
        /// Orders the queue: smaller first.
        plain position: i64,
        /// When it was queued.
        plain created_at: Timestamp,
    }
}

impl MergeRequestRow {
    /// Moves it to another state, or says why that is not legal.
    pub fn move_to(&mut self, state: ReviewState) -> Result<()> {
        if !ReviewState::MOVES.contains(&(self.state, state)) {
            return Err(Error::conflict(
                "review_transition",
                format!("merge request {} is {} and cannot become {state}", self.id, self.state),
            )
            .with("merge_request", &self.id)
            .with("from", self.state)
            .with("to", state));
        }
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_states_is_legal_or_refused_by_the_table() {
        for &from in ReviewState::ALL {
            for &to in ReviewState::ALL {
                let mut row = MergeRequestRow {
                    id: BeadId::new("gt-1").unwrap(),
                    source: BeadId::new("gt-2").unwrap(),
                    rig: RigName::new("harbour").unwrap(),
                    session: None,
                    branch: "gt/gt-2".into(),
                    target: "main".into(),
                    head: Oid::new("0".repeat(40)).unwrap(),
                    state: from,
                    published: false,
                    target_oid: None,
                    merge_oid: None,
                    landed_oid: None,
                    attempts: 0,
                    problem: None,
                    position: 0,
                    created_at: Timestamp::from_micros(1),
                };
                let result = row.move_to(to);
                if ReviewState::MOVES.contains(&(from, to)) {
                    result.unwrap();
                    assert_eq!(row.state, to);
                } else {
                    assert_eq!(result.unwrap_err().code(), "review_transition");
                    assert_eq!(row.state, from, "a refused move changes nothing");
                }
            }
        }
    }

    #[test]
    fn what_is_being_put_on_the_target_is_not_given_up_unseen() {
        for to in [ReviewState::Abandoned, ReviewState::Superseded] {
            assert!(!ReviewState::MOVES.contains(&(ReviewState::Publishing, to)));
        }
        assert!(ReviewState::MOVES.iter().all(|(from, _)| !from.is_terminal()));
    }
}
