//! The outbox as a person reads it: what waits, what was given up, and trying that again.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::effects;
use super::ready::{decode_position, encode_position};
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::value::ColumnValue as _;
use crate::model::{EffectId, EffectRow, EffectState, Error, Key, Result, RigName, Setback, Timestamp};
use crate::store::{Scan, index};

/// The most effects on one page.
const PAGE_MAX: usize = 1_000;
/// How many are on a page where nobody says.
const PAGE: usize = 100;

/// Something to be done outside the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Effect {
    /// Which.
    pub id: EffectId,
    /// What sort of thing.
    pub kind: String,
    /// What is to be done, in one line; none where that cannot be read.
    pub order: Option<String>,
    /// Where.
    pub rig: RigName,
    /// Where it stands.
    pub state: EffectState,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it did not happen when it was last tried.
    pub setback: Option<Setback>,
    /// What came of it last, in words.
    pub outcome: Option<String>,
    /// Not tried before.
    pub next_at: Timestamp,
    /// When it was wanted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<EffectRow> for Effect {
    fn from(row: EffectRow) -> Self {
        Self {
            order: row.order().ok().map(|order| order.to_string()),
            id: row.id,
            kind: row.kind,
            rig: row.rig,
            state: row.state,
            attempts: row.attempts,
            setback: row.setback,
            outcome: row.outcome,
            next_at: row.next_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Which effects to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EffectFilter {
    /// In this state; those that were given up where it is left out.
    pub state: Option<EffectState>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this rig.
    pub rig: Option<RigName>,
    /// At most so many; 100 where it is left out, 1000 at most.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A page of effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectPage {
    /// The effects, by when they may be or might have been tried.
    pub effects: Vec<Effect>,
    /// Where the next page begins; none where there is none.
    pub cursor: Option<String>,
}

/// Names one effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectRef {
    /// Which.
    pub id: EffectId,
}

impl From<EffectId> for EffectRef {
    fn from(id: EffectId) -> Self {
        Self { id }
    }
}

/// Lists effects of one state.
pub(crate) fn list(view: View<'_>, input: &EffectFilter) -> Result<EffectPage> {
    view.whole_town()?;
    let limit = input.limit.unwrap_or(PAGE);
    if limit == 0 || limit > PAGE_MAX {
        return Err(Error::invalid("limit_out_of_range", format!("a page has 1 to {PAGE_MAX} effects, not {limit}"))
            .with("limit", limit)
            .with("most", PAGE_MAX));
    }
    let after = input.cursor.as_deref().map(|cursor| decode_position("effects", "it", cursor)).transpose()?;
    let state = text(input.state.unwrap_or(EffectState::Refused).as_str());
    let scan = match &input.kind {
        Some(kind) => Scan::new(&index::EFFECTS_BY_KIND, vec![state, text(kind)], 0),
        None => Scan::new(&index::EFFECTS_BY_STATE, vec![state], 0),
    };
    let (mut effects, mut cursor) = (Vec::new(), None);
    view.walk::<EffectRow>(scan.after(after), |row| {
        if input.rig.as_ref().is_some_and(|rig| *rig != row.rig) {
            return Ok(true);
        }
        if effects.len() == limit {
            let last: &Effect = &effects[limit - 1];
            cursor = Some(encode_position("effects", &[last.next_at.to_value(), text(&last.id)]));
            return Ok(false);
        }
        effects.push(Effect::from(row));
        Ok(true)
    })?;
    Ok(EffectPage { effects, cursor })
}

/// Has an effect that was given up tried again, as a new one, where the state still asks for it.
pub(crate) fn retry(txn: &mut ScopedTxn<'_>, input: &EffectRef) -> Result<Effect> {
    let row: EffectRow = txn.find(&Key::effect(&input.id))?.ok_or_else(|| {
        Error::not_found("effect_missing", format!("there is no effect {}", input.id)).with("effect", &input.id)
    })?;
    if row.state != EffectState::Refused {
        return Err(Error::conflict(
            "effect_not_given_up",
            format!("effect {} is {}; only what was given up is tried again", row.id, row.state),
        )
        .with("effect", &row.id)
        .with("state", row.state));
    }
    let order = row.order()?;
    if !effects::is_wanted(txn, &order)? {
        return Err(Error::conflict(
            "effect_unwanted",
            format!("nobody wants effect {} any more; sling the bead again instead", row.id),
        )
        .with("effect", &row.id)
        .with("order", &order));
    }
    let again = effects::enqueue_again(txn, &order)?;
    txn.event("effect.retried", &row.id, json!({ "as": again }));
    let row: EffectRow =
        txn.find(&Key::effect(&again))?.ok_or_else(|| Error::internal("effect_missing", "it was just written"))?;
    Ok(row.into())
}
