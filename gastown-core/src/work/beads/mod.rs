//! Beads: create, read, change, close, comment, rename, delete.

mod bead;
mod close;
mod comments;
mod delete;
mod ids;
mod new;
mod patch;
mod plan;
mod rename;

pub use bead::{Bead, BeadRef, BeadSummary};
pub(crate) use bead::{assemble, get, whole};
pub use close::{CloseBead, Closed, ReopenBead};
pub(crate) use close::{close, refuse_in_session, reopen, settle};
pub use comments::{AddComment, Comment, CommentPage, CommentRef, CommentsOf};
pub(crate) use comments::{comment, comments, delete_comment};
pub use delete::{DeleteBead, Deleted};
pub(crate) use delete::{delete, remove_own, remove_rows};
pub use new::NewBead;
pub(crate) use new::{TOWN_PREFIX, create, insert};
pub use patch::{BeadPatch, Patch};
pub(crate) use patch::{merge_metadata, update};
pub(crate) use plan::create_many;
pub use plan::{KeyedBead, KeyedLink, MadeBead, MadeBeads, NewBeads};
pub use rename::{MoveBead, NewId, RenameBead, Renamed};
pub(crate) use rename::{move_to_rig, moved_to, relocate, rename};

use crate::model::{BeadRow, Error, Result};

/// Refuses where the bead has another version than the caller saw.
pub(crate) fn check_version(row: &BeadRow, expected: Option<i64>) -> Result<()> {
    match expected {
        Some(expected) if expected != row.version => Err(Error::conflict(
            "version_mismatch",
            format!("bead {} has version {}, not {expected}", row.id, row.version),
        )
        .with("bead", &row.id)
        .with("expected", expected)
        .with("found", row.version)),
        _ => Ok(()),
    }
}

/// Refuses where somebody else has claimed the bead since the caller did.
pub(crate) fn check_epoch(row: &BeadRow, expected: Option<i64>) -> Result<()> {
    match expected {
        Some(expected) if expected != row.epoch => {
            Err(Error::conflict("epoch_stale", format!("bead {} is at epoch {}, not {expected}", row.id, row.epoch))
                .with("bead", &row.id)
                .with("expected", expected)
                .with("epoch", row.epoch)
                .with("assignee", row.assignee.as_deref().unwrap_or("")))
        }
        _ => Ok(()),
    }
}
