//! What a scan asks for, and places in an index.

use std::collections::BTreeMap;

use super::index::Index;
use crate::model::value::{ColumnType, Value};
use crate::model::{Error, Result, Row};

/// What a scan asks for.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The index.
    pub index: &'static Index,
    /// A value for each of the index's prefix columns.
    pub prefix: Vec<Value>,
    /// Only entries behind this one.
    pub after: Option<Position>,
    /// Only entries whose first order column is at most this.
    pub upto: Option<Value>,
    /// At most so many rows.
    pub limit: usize,
}

impl Scan {
    /// A scan of one index from its beginning.
    pub fn new(index: &'static Index, prefix: Vec<Value>, limit: usize) -> Self {
        debug_assert_eq!(prefix.len(), index.prefix.len(), "{} wants a value for each prefix column", index.name);
        Self { index, prefix, after: None, upto: None, limit }
    }

    /// The same, behind a position.
    #[must_use]
    pub fn after(mut self, position: Option<Position>) -> Self {
        self.after = position;
        self
    }

    /// The same, only up to a value of the first order column.
    #[must_use]
    pub fn upto(mut self, value: Value) -> Self {
        self.upto = Some(value);
        self
    }

    /// Refuses a scan that does not fit its index; every backend asks this first.
    ///
    /// # Errors
    /// `scan_malformed` ([`Internal`](crate::ErrorKind::Internal)) for the prefix and `upto`, which the library wrote;
    /// `position_malformed` ([`Invalid`](crate::ErrorKind::Invalid)) for `after`, which a caller may have sent.
    pub fn check(&self) -> Result<()> {
        self.check_place(None)
    }

    /// The same, with the place before which a scan from the end begins.
    ///
    /// # Errors
    /// Those of [`Scan::check`], and `position_malformed` for `before` as well.
    pub fn check_place(&self, before: Option<&Position>) -> Result<()> {
        let index = self.index;
        let fits = |name: &str, value: &Value, null: bool| match value {
            Value::Null => null,
            Value::Int(_) => index.column(name).column_type == ColumnType::Int,
            Value::Text(_) => index.column(name).column_type == ColumnType::Text,
        };
        let all_fit = |names: &[&str], values: &[Value], null: bool| {
            names.len() == values.len() && names.iter().zip(values).all(|(name, value)| fits(name, value, null))
        };
        let upto = self.upto.as_ref().is_none_or(|value| fits(index.order[0], value, false));
        if !all_fit(index.prefix, &self.prefix, true) || !upto {
            return Err(Error::internal("scan_malformed", format!("a scan does not fit the index {}", index.name))
                .with("index", index.name));
        }
        if self.after.iter().chain(before).any(|place| !all_fit(index.order, &place.0, false)) {
            return Err(Error::invalid(
                "position_malformed",
                format!("a position is not one of the index {}", index.name),
            )
            .with("index", index.name));
        }
        Ok(())
    }
}

/// A place in an index: the values of its order columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub Vec<Value>);

impl Position {
    /// Where `row` stands in `index`.
    pub fn of(index: &Index, row: &Row) -> Self {
        let values = row.to_values();
        Self(
            index
                .order
                .iter()
                .map(|name| {
                    let at = index.place(name);
                    values[at].clone()
                })
                .collect(),
        )
    }
}

/// How many rows have each combination of values.
pub type Tally = BTreeMap<Vec<Value>, u64>;
