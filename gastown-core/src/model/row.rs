//! Every record the library stores, as one enum.

#[cfg(any(test, feature = "store-kit"))]
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use super::event::Change;
#[cfg(any(test, feature = "store-kit"))]
use super::event::key_json;
use super::id::excerpt;
use super::record::{Column, ColumnRole, Record};
use super::value::{Cell, Value};
use super::{
    AgentRow, BeadId, BeadRow, BeadTextRow, BreakerRow, CapabilityId, CapabilityRow, CommentRow, ConvoyRow,
    DeliveryRow, DependencyKind, DependencyRow, EffectId, EffectRow, Error, ForeignRow, IdempotencyRow, LabelRow,
    LeaderRow, MergeRequestRow, QuarantineRow, ReservationRow, Result, RigName, RigRow, SessionId, SessionRow,
    SettingRow, TombstoneRow, TownId, TownRow,
};

/// A record that has a variant in [`Row`].
pub trait Stored: Record {
    /// Which.
    const KIND: RowKind;
    /// As a row.
    fn into_row(self) -> Row;
    /// The record in the row, where it is of this kind.
    fn from_row(row: Row) -> Option<Self>;
    /// The same, in its place.
    fn of_row(row: &Row) -> Option<&Self>;
    /// Its key.
    fn key(&self) -> Key {
        Key { kind: Self::KIND, values: self.to_key_values() }
    }
}

macro_rules! rows {
    ($($(#[$meta:meta])* $variant:ident($record:ident),)*) => {
        /// Which record a row holds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum RowKind { $($(#[$meta])* $variant,)* }

        /// One stored record.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each variant holds the record of its name")]
        #[allow(clippy::large_enum_variant, reason = "most rows are beads, and a box for each would cost more")]
        pub enum Row { $($variant($record),)* }

        impl RowKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The table.
            pub const fn table(self) -> &'static str {
                match self { $(Self::$variant => $record::TABLE,)* }
            }

            /// The columns, the key's first.
            pub const fn columns(self) -> &'static [Column] {
                match self { $(Self::$variant => $record::COLUMNS,)* }
            }

            /// The row of these columns; an error names the column.
            pub fn decode(self, values: &[Value]) -> Result<Row> {
                self.decode_cells(&values.iter().map(Cell::from).collect::<Vec<_>>())
            }

            /// The same of borrowed columns.
            pub fn decode_cells(self, cells: &[Cell<'_>]) -> Result<Row> {
                match self { $(Self::$variant => $record::from_cells(cells).map(Row::$variant),)* }
            }
        }

        impl Row {
            /// Which record it holds.
            pub const fn kind(&self) -> RowKind {
                match self { $(Self::$variant(_) => RowKind::$variant,)* }
            }

            /// Shows all columns, in the order of [`RowKind::columns`], borrowed where they can be.
            pub fn with_cells<T>(&self, see: impl FnOnce(&[Cell<'_>]) -> T) -> T {
                match self { $(Self::$variant(record) => record.with_cells(see),)* }
            }

            /// One bit for each column that another row has otherwise, the first column's the lowest; none where that is
            /// a row of another table.
            pub fn differences(&self, other: &Self) -> Option<u64> {
                match (self, other) {
                    $((Self::$variant(one), Self::$variant(other)) => Some(one.differences(other)),)*
                    _ => None,
                }
            }

            /// All columns, in the order of [`RowKind::columns`].
            pub fn to_values(&self) -> Vec<Value> {
                match self { $(Self::$variant(record) => record.to_values(),)* }
            }

            fn to_key_values(&self) -> Vec<Value> {
                match self { $(Self::$variant(record) => record.to_key_values(),)* }
            }
        }

        $(impl Stored for $record {
            const KIND: RowKind = RowKind::$variant;
            fn into_row(self) -> Row {
                Row::$variant(self)
            }
            #[allow(irrefutable_let_patterns, reason = "the macro writes one arm for each variant")]
            fn from_row(row: Row) -> Option<Self> {
                if let Row::$variant(record) = row { Some(record) } else { None }
            }
            #[allow(irrefutable_let_patterns, reason = "the macro writes one arm for each variant")]
            fn of_row(row: &Row) -> Option<&Self> {
                if let Row::$variant(record) = row { Some(record) } else { None }
            }
        })*
    };
}

rows! {
    /// [`TownRow`]
    Town(TownRow),
    /// [`RigRow`]
    Rig(RigRow),
    /// [`BeadRow`]
    Bead(BeadRow),
    /// [`BeadTextRow`]
    BeadText(BeadTextRow),
    /// [`LabelRow`]
    Label(LabelRow),
    /// [`DependencyRow`]
    Dependency(DependencyRow),
    /// [`AgentRow`]
    Agent(AgentRow),
    /// [`SessionRow`]
    Session(SessionRow),
    /// [`ConvoyRow`]
    Convoy(ConvoyRow),
    /// [`MergeRequestRow`]
    MergeRequest(MergeRequestRow),
    /// [`DeliveryRow`]
    Delivery(DeliveryRow),
    /// [`EffectRow`]
    Effect(EffectRow),
    /// [`SettingRow`]
    Setting(SettingRow),
    /// [`LeaderRow`]
    Leader(LeaderRow),
    /// [`IdempotencyRow`]
    Idempotency(IdempotencyRow),
    /// [`CommentRow`]
    Comment(CommentRow),
    /// [`TombstoneRow`]
    Tombstone(TombstoneRow),
    /// [`ForeignRow`]
    Foreign(ForeignRow),
    /// [`ReservationRow`]
    Reservation(ReservationRow),
    /// [`BreakerRow`]
    Breaker(BreakerRow),
    /// [`QuarantineRow`]
    Quarantine(QuarantineRow),
    /// [`CapabilityRow`]
    Capability(CapabilityRow),
}

impl RowKind {
    /// How many columns the key has.
    pub fn key_len(self) -> usize {
        self.columns().iter().take_while(|column| column.role == ColumnRole::Key).count()
    }

    /// Where a column stands.
    pub fn position(self, column: &str) -> Option<usize> {
        self.columns().iter().position(|c| c.name == column)
    }

    /// Whether changes of it are written to the journal.
    pub const fn is_journaled(self) -> bool {
        !matches!(self, Self::Idempotency)
    }

    /// The kind whose table that is.
    pub fn of_table(table: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.table() == table)
    }
}

impl Row {
    /// Its key.
    pub fn key(&self) -> Key {
        Key { kind: self.kind(), values: self.to_key_values() }
    }

    /// The same row with every volatile column at its resting value (null, 0 or empty), as the journal holds it.
    pub fn to_journaled(&self) -> Vec<Value> {
        let mut values = self.to_values();
        for (value, column) in values.iter_mut().zip(self.kind().columns()) {
            if column.role == ColumnRole::Volatile {
                *value = column.resting();
            }
        }
        values
    }

    /// What the journal keeps of it.
    #[cfg(any(test, feature = "store-kit"))]
    pub(crate) fn to_change(&self) -> Change {
        let kind = self.kind();
        let row: BTreeMap<_, _> = kind
            .columns()
            .iter()
            .zip(self.to_values())
            .filter(|(column, _)| column.role != ColumnRole::Volatile)
            .map(|(column, value)| (column.name.to_owned(), value.to_json()))
            .collect();
        Change { table: kind.table().to_owned(), key: key_json(&self.key().values), row: Some(row) }
    }

    /// The row that a change left, with its volatile columns at rest.
    pub fn from_change(change: &Change) -> Result<Option<Self>> {
        let kind = RowKind::of_table(&change.table).ok_or_else(|| {
            Error::unsupported("table_unknown", format!("the journal names the table {:?}, unknown here", change.table))
        })?;
        let Some(row) = &change.row else { return Ok(None) };
        let values = kind
            .columns()
            .iter()
            .map(|column| match row.get(column.name) {
                Some(json) => Value::from_json(json),
                None => Ok(column.resting()),
            })
            .collect::<Result<Vec<_>>>()?;
        kind.decode(&values).map(Some)
    }
}

/// A record in a row that others may hold as well.
#[derive(Clone, Debug)]
pub(crate) struct Shared<T> {
    row: Arc<Row>,
    record: PhantomData<T>,
}

impl<T: Stored> Shared<T> {
    /// The record in the row, where it is of this kind.
    pub(crate) fn of(row: Arc<Row>) -> Option<Self> {
        T::of_row(&row)?;
        Some(Self { row, record: PhantomData })
    }

    /// A record of the caller's own.
    pub(crate) fn into_owned(self) -> T {
        T::from_row(Arc::unwrap_or_clone(self.row)).expect("it was looked at when it was made")
    }
}

impl<T: Stored> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        T::of_row(&self.row).expect("it was looked at when it was made")
    }
}

/// The key of one row in one town.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which record.
    pub kind: RowKind,
    /// The key's columns after the town.
    pub values: Vec<Value>,
}

impl std::fmt::Display for Key {
    /// The table and the key's columns, as a person reads them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.table())?;
        self.values.iter().try_for_each(|value| match value {
            Value::Null => f.write_str(" null"),
            Value::Int(n) => write!(f, " {n}"),
            Value::Text(text) => write!(f, " {}", excerpt(text)),
        })
    }
}

impl Key {
    fn text<const N: usize>(kind: RowKind, parts: [&str; N]) -> Self {
        Self { kind, values: parts.into_iter().map(|part| Value::Text(part.to_owned())).collect() }
    }

    /// A bead's columns.
    pub fn bead(id: &BeadId) -> Self {
        Self::text(RowKind::Bead, [id.as_str()])
    }

    /// A bead's texts.
    pub fn bead_text(id: &BeadId) -> Self {
        Self::text(RowKind::BeadText, [id.as_str()])
    }

    /// One label of a bead.
    pub fn label(bead: &BeadId, label: &str) -> Self {
        Self::text(RowKind::Label, [bead.as_str(), label])
    }

    /// One edge.
    pub fn dependency(bead: &BeadId, on_bead: &BeadId, kind: DependencyKind) -> Self {
        Self::text(RowKind::Dependency, [bead.as_str(), on_bead.as_str(), kind.as_str()])
    }

    /// An agent's working columns.
    pub fn agent(id: &BeadId) -> Self {
        Self::text(RowKind::Agent, [id.as_str()])
    }

    /// A session.
    pub fn session(id: &SessionId) -> Self {
        Self::text(RowKind::Session, [id.as_str()])
    }

    /// A convoy's detail.
    pub fn convoy(id: &BeadId) -> Self {
        Self::text(RowKind::Convoy, [id.as_str()])
    }

    /// A merge request's detail.
    pub fn merge_request(id: &BeadId) -> Self {
        Self::text(RowKind::MergeRequest, [id.as_str()])
    }

    /// A message on its way to one recipient.
    pub fn delivery(message: &BeadId, recipient: &str) -> Self {
        Self::text(RowKind::Delivery, [message.as_str(), recipient])
    }

    /// An effect.
    pub fn effect(id: &EffectId) -> Self {
        Self::text(RowKind::Effect, [id.as_str()])
    }

    /// A rig.
    pub fn rig(name: &RigName) -> Self {
        Self::text(RowKind::Rig, [name.as_str()])
    }

    /// A town.
    pub fn town(id: &TownId) -> Self {
        Self::text(RowKind::Town, [id.as_str()])
    }

    /// A setting.
    pub fn setting(scope: &str, name: &str) -> Self {
        Self::text(RowKind::Setting, [scope, name])
    }

    /// The leader's lease.
    pub fn leader() -> Self {
        Self::text(RowKind::Leader, ["engine"])
    }

    /// A remembered answer.
    pub fn idempotency(principal: &str, operation: &str, key: &str) -> Self {
        Self::text(RowKind::Idempotency, [principal, operation, key])
    }

    /// A remark about a bead.
    pub fn comment(bead: &BeadId, id: &str) -> Self {
        Self::text(RowKind::Comment, [bead.as_str(), id])
    }

    /// What is left of a deleted bead.
    pub fn tombstone(id: &BeadId) -> Self {
        Self::text(RowKind::Tombstone, [id.as_str()])
    }

    /// Another program's record.
    pub fn foreign(source: &str, name: &str) -> Self {
        Self::text(RowKind::Foreign, [source, name])
    }

    /// Paths that the work on a bead means to touch.
    pub fn reservation(bead: &BeadId, pattern: &str) -> Self {
        Self::text(RowKind::Reservation, [bead.as_str(), pattern])
    }

    /// A breaker.
    pub fn breaker(subject: &str) -> Self {
        Self::text(RowKind::Breaker, [subject])
    }

    /// A capability.
    pub fn capability(id: &CapabilityId) -> Self {
        Self::text(RowKind::Capability, [id.as_str()])
    }

    /// A row that could not be read.
    pub fn quarantine(id: &str) -> Self {
        Self::text(RowKind::Quarantine, [id])
    }

    /// What the journal keeps of its deletion.
    #[cfg(test)]
    pub(crate) fn to_change(&self) -> Change {
        Change { table: self.kind.table().to_owned(), key: key_json(&self.values), row: None }
    }
}
