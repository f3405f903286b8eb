//! Values as the server holds them.
//!
//! Text of the server cannot hold a NUL, so two characters are written as two: 0 as 1 1, and 1 as 1 2. Order by bytes
//! and equality stay what they were, and every other text is written as it is.

use std::borrow::Cow;
use std::error::Error as StdError;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::model::value::{ColumnType, Value};

/// The text without a NUL that stands for `text`.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => written.push_str("\u{1}\u{1}"),
            '\u{1}' => written.push_str("\u{1}\u{2}"),
            other => written.push(other),
        }
    }
    Cow::Owned(written)
}

/// The text that [`escaped`] wrote; none where nothing can have been written so.
pub(super) fn unescaped(written: &str) -> Option<Cow<'_, str>> {
    if !written.contains('\u{1}') {
        return Some(Cow::Borrowed(written));
    }
    let mut text = String::with_capacity(written.len());
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1}' => match characters.next()? {
                '\u{1}' => text.push('\0'),
                '\u{2}' => text.push('\u{1}'),
                _ => return None,
            },
            other => text.push(other),
        }
    }
    Some(Cow::Owned(text))
}

/// A value, or a column of many, as a parameter.
#[derive(Clone, Debug)]
pub(super) enum Parameter {
    One(Value),
    Ints(Vec<Option<i64>>),
    /// As they are written: see [`escaped`].
    Texts(Vec<Option<String>>),
}

impl Parameter {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::One(Value::Text(text.into()))
    }

    pub(super) const fn int(n: i64) -> Self {
        Self::One(Value::Int(n))
    }

    /// One column of many rows, as the type says; what is of another type is null.
    pub(super) fn column<'v>(of: ColumnType, values: impl Iterator<Item = &'v Value>) -> Self {
        match of {
            ColumnType::Int => {
                Self::Ints(values.map(|value| if let Value::Int(n) = value { Some(*n) } else { None }).collect())
            }
            ColumnType::Text => {
                let written =
                    |value: &Value| if let Value::Text(text) = value { Some(escaped(text).into_owned()) } else { None };
                Self::Texts(values.map(written).collect())
            }
        }
    }

    /// A number as the server holds it; more than it can hold is as good as all.
    pub(super) fn count(n: u64) -> Self {
        Self::int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// About how many bytes it is.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::One(value) => weight(value),
            Self::Ints(column) => column.len() * 8,
            Self::Texts(column) => column.iter().map(|text| text.as_ref().map_or(8, String::len)).sum(),
        }
    }
}

/// About how many bytes it is.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Null | Value::Int(_) => 8,
    }
}

impl From<&Value> for Parameter {
    fn from(value: &Value) -> Self {
        Self::One(value.clone())
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::One(Value::Null) => Ok(IsNull::Yes),
            Self::One(Value::Int(n)) if *ty == Type::INT8 => n.to_sql(ty, out),
            Self::One(Value::Text(text)) if *ty == Type::TEXT => (&*escaped(text)).to_sql(ty, out),
            Self::Ints(column) if *ty == Type::INT8_ARRAY => column.to_sql(ty, out),
            Self::Texts(column) if *ty == Type::TEXT_ARRAY => column.to_sql(ty, out),
            // The value may be anybody's text and is not told.
            Self::One(Value::Int(_)) => Err(format!("a parameter of type {ty} cannot be a number").into()),
            Self::One(Value::Text(_)) => Err(format!("a parameter of type {ty} cannot be a text").into()),
            Self::Ints(_) | Self::Texts(_) => Err(format!("a parameter of type {ty} cannot be a column").into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::INT8_ARRAY, Type::TEXT_ARRAY].contains(ty)
    }

    to_sql_checked!();
}

/// A value as a column.
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        if *ty == Type::INT8 {
            return Ok(Self(Value::Int(i64::from_sql(ty, raw)?)));
        }
        let text = unescaped(<&str>::from_sql(ty, raw)?).ok_or("a text is escaped as nobody escapes it")?;
        Ok(Self(Value::Text(text.into_owned())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INT8 || *ty == Type::TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_back_and_keeps_its_order() {
        let mut texts = vec![
            "",
            "\0",
            "\0\0",
            "\0\u{1}",
            "\0a",
            "\u{1}",
            "\u{1}\0",
            "\u{1}\u{1}",
            "\u{1}\u{2}",
            "\u{2}",
            "a",
            "a\0",
            "a\0b",
            "a\u{1}",
            "ab",
            "ä",
            "\u{10ffff}",
        ];
        texts.sort_unstable();
        let written: Vec<_> = texts.iter().map(|text| escaped(text).into_owned()).collect();
        assert!(written.is_sorted() && written.iter().all(|text| !text.contains('\0')));
        let back: Vec<_> = written.iter().map(|text| unescaped(text).unwrap()).collect();
        assert_eq!(back, texts);
    }

    #[test]
    fn a_value_of_another_type_is_refused_and_not_told() {
        for (value, ty) in [(Value::Text("4711".into()), Type::INT8), (Value::Int(4711), Type::TEXT)] {
            let error = Parameter::One(value).to_sql(&ty, &mut BytesMut::new()).map(drop).unwrap_err();
            assert!(!error.to_string().contains("4711"), "{error}");
        }
    }

    #[test]
    fn what_nobody_wrote_is_not_read() {
        for wrong in ["\u{1}", "a\u{1}b", "\u{1}\u{3}"] {
            assert_eq!(unescaped(wrong), None, "{wrong:?}");
        }
    }
}
