//! Remarks about beads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::value::{ColumnValue as _, Value};
use crate::model::{BeadId, BeadRow, CommentRow, Error, Key, Result, Scope, Timestamp};
use crate::store::{Scan, index};
use crate::work::fields::{check_comment, check_word};
use crate::work::graph::Changed;
use crate::work::ready::{check_limit, decode_position, encode_position};
use crate::work::txn::ScopedTxn;
use crate::work::view::{View, text};

/// The most comments of one bead.
const COMMENTS_MAX: i64 = 10_000;
/// How many digits a comment's id has.
const DIGITS: usize = 8;

/// A new comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddComment {
    /// Which bead.
    pub bead: BeadId,
    /// What is to be said, 1 byte to 256 KiB.
    pub text: String,
    /// Who says it; the caller where it is left out. An agent speaks for itself only.
    #[serde(default)]
    pub author: Option<String>,
}

impl AddComment {
    /// A comment of the caller.
    pub fn new(bead: BeadId, text: impl Into<String>) -> Self {
        Self { bead, text: text.into(), author: None }
    }
}

/// One comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comment {
    /// The bead.
    pub bead: BeadId,
    /// Identity within the bead.
    pub id: String,
    /// Who said it.
    pub author: String,
    /// What was said.
    pub text: String,
    /// When.
    pub created_at: Timestamp,
}

impl From<CommentRow> for Comment {
    fn from(row: CommentRow) -> Self {
        Self { bead: row.bead, id: row.id, author: row.author, text: row.text, created_at: row.created_at }
    }
}

/// Which comments to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommentsOf {
    /// Of this bead.
    pub bead: BeadId,
    /// At most so many, 1 to 1000; 50 where it is left out.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl From<&BeadId> for CommentsOf {
    fn from(bead: &BeadId) -> Self {
        Self { bead: bead.clone(), limit: None, cursor: None }
    }
}

/// One page of comments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentPage {
    /// The comments, oldest first.
    pub comments: Vec<Comment>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Names one comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommentRef {
    /// The bead.
    pub bead: BeadId,
    /// Which of its comments.
    pub id: String,
}

/// Adds a comment; the bead's version stays as it is.
pub(crate) fn comment(txn: &mut ScopedTxn<'_>, input: &AddComment) -> Result<Comment> {
    check_comment(&input.text)?;
    let mut bead = txn.bead(&input.bead)?;
    if bead.comments >= COMMENTS_MAX {
        return Err(Error::exhausted("too_many_comments", format!("bead {} has {COMMENTS_MAX} comments", bead.id))
            .with("bead", &bead.id)
            .with("comments_max", COMMENTS_MAX));
    }
    let author = match &input.author {
        None => txn.actor().to_owned(),
        Some(author) if matches!(txn.view().scope(), Scope::Agent { .. }) && author != txn.actor() => {
            return Err(Error::forbidden("author_foreign", format!("{} speaks for itself only", txn.actor()))
                .with("principal", txn.actor()));
        }
        Some(author) => {
            check_word("author", author)?;
            author.clone()
        }
    };
    let id = loop {
        let id = txn.ids().base36(DIGITS);
        if !txn.is_taken(&Key::comment(&input.bead, &id))? {
            break id;
        }
    };
    let created_at = txn.now();
    let row = CommentRow { bead: input.bead.clone(), id, author, text: input.text.clone(), created_at, extra: None };
    txn.put(row.clone())?;
    bead.comments += 1;
    txn.put(bead)?;
    txn.event("bead.commented", &input.bead, json!({ "comment": row.id, "author": row.author }));
    Ok(row.into())
}

/// Reads the comments of one bead, oldest first, a page at a time.
pub(crate) fn comments(view: View<'_>, input: &CommentsOf) -> Result<CommentPage> {
    let limit = check_limit(input.limit)?;
    view.bead(&input.bead)?;
    let after = input.cursor.as_deref().map(|cursor| decode_position("comments", "it", cursor)).transpose()?;
    // They are stored by id, and imported ids say nothing of the time; the first behind the cursor are kept.
    let mut first = BTreeMap::new();
    view.walk::<CommentRow>(Scan::new(&index::COMMENTS, vec![text(&input.bead)], 0), |row| {
        let place = vec![row.created_at.to_value(), text(&row.id)];
        if after.as_ref().is_none_or(|after| place > after.0) {
            first.insert(place, row);
            if first.len() > limit + 1 {
                first.pop_last();
            }
        }
        Ok(true)
    })?;
    let more = first.len() > limit;
    let page: Vec<(Vec<Value>, CommentRow)> = first.into_iter().take(limit).collect();
    let cursor = page.last().filter(|_| more).map(|(place, _)| encode_position("comments", place));
    Ok(CommentPage { comments: page.into_iter().map(|(_, row)| row.into()).collect(), cursor })
}

/// Deletes a comment: one's own, or any for the town's owner.
pub(crate) fn delete_comment(txn: &mut ScopedTxn<'_>, input: &CommentRef) -> Result<Changed> {
    let mut bead: BeadRow = txn.bead(&input.bead)?;
    let key = Key::comment(&input.bead, &input.id);
    let Some(row) = txn.find::<CommentRow>(&key)? else { return Ok(Changed { changed: false }) };
    let is_owner = matches!(txn.view().scope(), Scope::Operator | Scope::Town);
    if !is_owner && row.author != txn.actor() {
        return Err(Error::forbidden("author_foreign", format!("the comment is {}'s", row.author))
            .with("principal", txn.actor())
            .with("author", &row.author));
    }
    txn.delete(&key)?;
    bead.comments -= 1;
    txn.put(bead)?;
    txn.event("bead.uncommented", &input.bead, json!({ "comment": input.id, "author": row.author }));
    Ok(Changed { changed: true })
}
