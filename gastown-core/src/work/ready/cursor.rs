//! Where a list goes on: the list's order by name, and a place in it.

use serde_json::Value as Json;

use crate::model::id::excerpt;
use crate::model::value::Value;
use crate::model::{Error, Result};
use crate::store::Position;

/// A place as text; `order` names the list's order.
pub(crate) fn encode_position(order: &str, place: &[Value]) -> String {
    let parts = std::iter::once(Json::from(order)).chain(place.iter().map(Value::to_json));
    Json::Array(parts.collect()).to_string()
}

/// The place that [`encode_position`] wrote for this order; `shape` has a letter for each value: `i` or `t`.
pub(crate) fn decode_position(order: &str, shape: &str, cursor: &str) -> Result<Position> {
    let wrong = || {
        Error::invalid("cursor_malformed", format!("{} is no cursor of this list", excerpt(cursor)))
            .with("order", order)
    };
    let parts: Vec<Json> = serde_json::from_str(cursor).map_err(|source| wrong().because(source))?;
    let Some((first, place)) = parts.split_first() else { return Err(wrong()) };
    if first.as_str() != Some(order) || place.len() != shape.len() {
        return Err(wrong());
    }
    let values: Vec<Value> =
        place.iter().map(Value::from_json).collect::<Result<_>>().map_err(|source| wrong().because(source))?;
    let fits =
        |(value, letter): (&Value, char)| matches!((value, letter), (Value::Int(_), 'i') | (Value::Text(_), 't'));
    if !values.iter().zip(shape.chars()).all(fits) {
        return Err(wrong());
    }
    Ok(Position(values))
}
