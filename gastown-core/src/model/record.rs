//! Records: plain structs whose fields are columns.

use super::Result;
use super::value::{Cell, ColumnType, Value};

/// What a column is to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    /// Part of the record's key, in order, after the town.
    Key,
    /// An ordinary column.
    Plain,
    /// A working column of the engine (a lease, a heartbeat, a mark): stored, never journaled.
    Volatile,
}

/// A column of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, the same in SQL and in the journal.
    pub name: &'static str,
    /// What it holds.
    pub column_type: ColumnType,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it is to the record.
    pub role: ColumnRole,
}

impl Column {
    /// What it holds when nothing is known: null, 0 or an empty text.
    pub fn resting(&self) -> Value {
        match (self.nullable, self.column_type) {
            (true, _) => Value::Null,
            (false, ColumnType::Int) => Value::Int(0),
            (false, ColumnType::Text) => Value::Text(String::new()),
        }
    }
}

/// A struct that is stored as one row of one table.
pub trait Record: Sized + Clone {
    /// The table.
    const TABLE: &'static str;
    /// The columns in the order of [`Record::to_values`]; the key comes first.
    const COLUMNS: &'static [Column];
    /// Shows all columns, borrowed where they can be.
    fn with_cells<T>(&self, see: impl FnOnce(&[Cell<'_>]) -> T) -> T;
    /// All columns.
    fn to_values(&self) -> Vec<Value>;
    /// The key's columns alone, in order.
    fn to_key_values(&self) -> Vec<Value>;
    /// One bit for each column that another record has otherwise, the first column's the lowest.
    fn differences(&self, other: &Self) -> u64;
    /// The record of these columns; an error names the column.
    fn from_cells(cells: &[Cell<'_>]) -> Result<Self>;
}

/// Declares a record: a struct, and its columns.
///
/// A field is marked `key` (these come first), `plain` or `volatile`.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident = $table:literal { $($(#[$fmeta:meta])* $role:ident $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl $crate::model::record::Record for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [$crate::model::record::Column] = &[$(
                $crate::model::record::Column {
                    name: stringify!($field),
                    column_type: <$ty as $crate::model::value::ColumnValue>::TYPE,
                    nullable: <$ty as $crate::model::value::ColumnValue>::NULLABLE,
                    role: $crate::model::record::record!(@role $role),
                },
            )*];

            fn with_cells<T>(&self, see: impl FnOnce(&[$crate::model::value::Cell<'_>]) -> T) -> T {
                see(&[$($crate::model::value::ColumnValue::to_cell(&self.$field),)*])
            }

            fn to_values(&self) -> Vec<$crate::model::value::Value> {
                vec![$($crate::model::value::ColumnValue::to_value(&self.$field),)*]
            }

            fn differences(&self, other: &Self) -> u64 {
                const { assert!(<Self as $crate::model::record::Record>::COLUMNS.len() <= 64, "a bit for each column") };
                let differ = [$(
                    $crate::model::value::ColumnValue::to_cell(&self.$field)
                        != $crate::model::value::ColumnValue::to_cell(&other.$field),
                )*];
                differ.iter().rev().fold(0, |set, differs| set << 1 | u64::from(*differs))
            }

            #[allow(clippy::vec_init_then_push, reason = "only the fields marked as keys push")]
            fn to_key_values(&self) -> Vec<$crate::model::value::Value> {
                let mut values = Vec::with_capacity(3);
                $($crate::model::record::record!(@key $role values, &self.$field);)*
                values
            }

            fn from_cells(cells: &[$crate::model::value::Cell<'_>]) -> $crate::model::Result<Self> {
                if cells.len() != Self::COLUMNS.len() {
                    return Err($crate::model::Error::corrupt(
                        "column_count",
                        format!("a row of {} has {} columns, not {}", $table, Self::COLUMNS.len(), cells.len()),
                    ));
                }
                let mut columns = cells.iter();
                Ok(Self {$(
                    $field: columns
                        .next()
                        .map(<$ty as $crate::model::value::ColumnValue>::from_cell)
                        .expect("the count was checked above")
                        .map_err(|source| $crate::model::Error::corrupt(
                            "column_unreadable",
                            format!("column {} of a row of {} cannot be read", stringify!($field), $table),
                        ).with("table", $table).with("column", stringify!($field)).because(source))?,
                )*})
            }
        }
    };
    (@key key $values:ident, $field:expr) => { $values.push($crate::model::value::ColumnValue::to_value($field)) };
    (@key $role:ident $values:ident, $field:expr) => {};
    (@role key) => { $crate::model::record::ColumnRole::Key };
    (@role plain) => { $crate::model::record::ColumnRole::Plain };
    (@role volatile) => { $crate::model::record::ColumnRole::Volatile };
}

pub(crate) use record;
