//! JSON text before it is read: how deep, how much, and whether its numbers survive.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

/// How deep a value of a key may be nested. JSON readers commonly stop at 128, and what is kept is wrapped some levels more.
pub(super) const DEPTH_MAX: usize = 96;

/// Why a line cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooDeep,
    TooMany,
}

impl Fault {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::TooDeep => "nested_too_deep",
            Self::TooMany => "too_many_values",
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::TooDeep => "a value is nested deeper than 96 levels",
            Self::TooMany => "a value has more parts than the limit",
        }
    }
}

/// The keys of one object with the JSON texts of their values, in order.
pub(super) struct Pairs<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(24);
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The keys and texts of an object; nothing where the text is another value.
pub(super) fn object(raw: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    if !raw.starts_with('{') {
        return None;
    }
    serde_json::from_str::<Pairs<'_>>(raw).ok().map(|pairs| pairs.0)
}

/// The texts of an array's values; nothing where the text is another value.
pub(super) fn array(raw: &str) -> Option<Vec<&RawValue>> {
    if !raw.starts_with('[') {
        return None;
    }
    serde_json::from_str(raw).ok()
}

/// The text of a JSON string; nothing where the text is another value.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Checks one value: not too deep, not too many parts. Says whether every number is printed as it was written.
pub(super) fn check(raw: &str, values_max: usize) -> Result<bool, Fault> {
    let bytes = raw.as_bytes();
    match bytes.first() {
        Some(b'"' | b't' | b'f' | b'n') | None => return Ok(true),
        Some(b'{' | b'[') => {}
        Some(_) => return Ok(survives(raw)),
    }
    let (mut depth, mut values, mut exact) = (0_usize, 1_usize, true);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(&inner) = bytes.get(at) {
                    match inner {
                        b'\\' => at += 1,
                        b'"' => break,
                        _ => {}
                    }
                    at += 1;
                }
            }
            b'{' | b'[' => {
                depth += 1;
                values += 1;
                if depth > DEPTH_MAX {
                    return Err(Fault::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
                    .count();
                exact = exact && survives(&raw[at..at + length]);
                at += length - 1;
            }
            _ => {}
        }
        if values > values_max {
            return Err(Fault::TooMany);
        }
        at += 1;
    }
    Ok(exact)
}

/// Whether a number is printed again as it is written.
fn survives(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.len() <= 18 && digits != "0" && digits.bytes().all(|byte| byte.is_ascii_digit()) || token == "0" {
        return true;
    }
    serde_json::from_str::<Number>(token).is_ok_and(|number| number.to_string() == token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_be_printed_otherwise_are_found() {
        for same in ["0", "1", "-1", "1.0", "1.5", "18446744073709551615", "-9223372036854775808", "{\"a\":[1,2.5]}"] {
            assert_eq!(check(same, 100), Ok(true), "{same}");
        }
        for other in ["-0", "1e5", "1.50", "18446744073709551616", "1e999", "0.1000000000000000055", "{\"a\":[1,2E1]}"]
        {
            assert_eq!(check(other, 100), Ok(false), "{other}");
        }
        assert_eq!(check("{\"1e5\":\"2e6\\\"3e7\"}", 100), Ok(true), "texts are no numbers");
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(check(&deep(DEPTH_MAX), 1000), Ok(true));
        assert_eq!(check(&deep(DEPTH_MAX + 1), 1000), Err(Fault::TooDeep));
        assert_eq!(check("[1,2,3,4]", 4), Err(Fault::TooMany));
        assert_eq!(check("[1,2,3,4]", 5), Ok(true));
    }
}
