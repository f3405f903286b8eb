//! The values a record's columns can hold.

use std::borrow::Cow;

use super::{Error, Result};

/// One column of a record, as every storage backend can hold it.
///
/// The order is the one backends must keep in their indexes: null, then integers, then text by bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Nothing.
    Null,
    /// A signed integer; also a truth value (0 or 1) and a time (microseconds UTC).
    Int(i64),
    /// UTF-8 text; also JSON in its shortest form.
    Text(String),
}

impl Value {
    /// The value as JSON: null, a number or a string.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Int(n) => (*n).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }

    /// The value that [`Value::to_json`] wrote.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        match json {
            serde_json::Value::Null => Ok(Self::Null),
            serde_json::Value::String(text) => Ok(Self::Text(text.clone())),
            serde_json::Value::Number(number) => number
                .as_i64()
                .map(Self::Int)
                .ok_or_else(|| Error::corrupt("column_type", format!("{number} is not a 64-bit integer"))),
            other => Err(Error::corrupt("column_type", format!("a column cannot hold {other}"))),
        }
    }
}

/// What is stored in a column, also where no record can hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// What a record could hold.
    Value(Value),
    /// Anything else, such as text that is not UTF-8.
    Bytes(Vec<u8>),
}

impl Raw {
    /// As JSON: like [`Value::to_json`], bytes as `{"hex": …}`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Value(value) => value.to_json(),
            Self::Bytes(bytes) => serde_json::json!({ "hex": super::event::hex(bytes) }),
        }
    }
}

impl From<Value> for Raw {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// A [`Value`] that borrows its text from the record where it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A signed integer.
    Int(i64),
    /// UTF-8 text.
    Text(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    /// Text that is there already.
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Int(n) => Self::Int(n),
            Cell::Text(text) => Self::Text(text.into_owned()),
        }
    }
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(n) => Self::Int(*n),
            Value::Text(text) => Self::text(text),
        }
    }
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// [`Value::Int`].
    Int,
    /// [`Value::Text`].
    Text,
}

/// A type that one column holds.
pub trait ColumnValue: Sized {
    /// The type of the column.
    const TYPE: ColumnType;
    /// Whether the column may be null.
    const NULLABLE: bool = false;
    /// The stored form, which borrows what it can.
    fn to_cell(&self) -> Cell<'_>;
    /// The stored form.
    fn to_value(&self) -> Value {
        self.to_cell().into()
    }
    /// The typed form; an error says what is wrong with the stored one.
    fn from_cell(cell: &Cell<'_>) -> Result<Self>;
    /// The same of a value.
    fn from_value(value: &Value) -> Result<Self> {
        Self::from_cell(&value.into())
    }
}

fn mismatch(wanted: &str, found: &Cell<'_>) -> Error {
    let found = Value::from(found.clone());
    Error::corrupt("column_type", format!("expected {wanted}, found {found:?}"))
}

impl ColumnValue for i64 {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_cell(&self) -> Cell<'_> {
        Cell::Int(*self)
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Int(n) => Ok(*n),
            other => Err(mismatch("an integer", other)),
        }
    }
}

impl ColumnValue for u32 {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_cell(&self) -> Cell<'_> {
        Cell::Int(i64::from(*self))
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Int(n) => Self::try_from(*n).map_err(|_| mismatch("an integer of 0 to 4294967295", cell)),
            other => Err(mismatch("an integer", other)),
        }
    }
}

impl ColumnValue for bool {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_cell(&self) -> Cell<'_> {
        Cell::Int(i64::from(*self))
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Int(0) => Ok(false),
            Cell::Int(1) => Ok(true),
            other => Err(mismatch("0 or 1", other)),
        }
    }
}

impl ColumnValue for String {
    const TYPE: ColumnType = ColumnType::Text;
    fn to_cell(&self) -> Cell<'_> {
        Cell::text(self)
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Text(text) => Ok(text.as_ref().to_owned()),
            other => Err(mismatch("text", other)),
        }
    }
}

impl ColumnValue for serde_json::Value {
    const TYPE: ColumnType = ColumnType::Text;
    fn to_cell(&self) -> Cell<'_> {
        match self {
            Self::Object(map) if map.is_empty() => Cell::text("{}"),
            other => Cell::Text(Cow::Owned(other.to_string())),
        }
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Text(text) if text == "{}" => Ok(Self::Object(serde_json::Map::new())),
            Cell::Text(text) => serde_json::from_str(text)
                .map_err(|source| Error::corrupt("column_json", "a column does not hold JSON").because(source)),
            other => Err(mismatch("JSON text", other)),
        }
    }
}

/// An array of texts as JSON; the empty text is read as an empty one.
impl ColumnValue for Vec<String> {
    const TYPE: ColumnType = ColumnType::Text;
    fn to_cell(&self) -> Cell<'_> {
        if self.is_empty() {
            return Cell::text("[]");
        }
        Cell::Text(Cow::Owned(serde_json::Value::from(self.as_slice()).to_string()))
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Text(text) if matches!(&**text, "" | "[]") => Ok(Self::new()),
            Cell::Text(text) => serde_json::from_str(text).map_err(|source| {
                Error::corrupt("column_json", "a column does not hold a list of texts").because(source)
            }),
            other => Err(mismatch("a list of texts as JSON", other)),
        }
    }
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;
    fn to_cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, ColumnValue::to_cell)
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Null => Ok(None),
            other => T::from_cell(other).map(Some),
        }
    }
}
