//! Identities: each kind of thing has a type of its own.

use super::value::{Cell, ColumnType, ColumnValue};
use super::{Error, Result};

/// The longest id of a bead in bytes, as other tools have it.
pub const ID_BYTES_MAX: usize = 255;
/// The longest id of a bead that sessions and effects can be named after, in bytes.
pub(crate) const RUN_ID_BYTES_MAX: usize = 100;
/// The longest id that is made from a bead's: of a session, of an effect. It is a folder's name as well.
const MADE_ID_BYTES_MAX: usize = 200;
/// The longest name of a rig or an agent in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// The longest name of a user in bytes.
const USER_BYTES_MAX: usize = 100;

/// Shows at most the first 40 characters of what a caller gave, quoted.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

fn check_id(what: &str, text: &str) -> Result<()> {
    check_id_of(what, text, ID_BYTES_MAX)
}

fn check_made_id(what: &str, text: &str) -> Result<()> {
    check_id_of(what, text, MADE_ID_BYTES_MAX)
}

fn check_id_of(what: &str, text: &str, bytes_max: usize) -> Result<()> {
    let legal = text.len() <= bytes_max
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'#'))
        && !text.contains("..")
        && !text.ends_with('.');
    if legal {
        return Ok(());
    }
    Err(Error::invalid("id_malformed", format!("{what} {} is not an id", excerpt(text)))
        .with("what", what)
        .with("found", excerpt(text))
        .with("bytes", text.len())
        .with("bytes_max", bytes_max)
        .with("rule", "A-Z a-z 0-9 - _ . #, starting with a letter or digit, without \"..\""))
}

fn check_name(what: &str, text: &str) -> Result<()> {
    let legal = text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    check_legal(legal, what, text, "1 to 63 of a-z 0-9 - _, starting with a letter or digit")
}

fn check_legal(is_legal: bool, what: &str, text: &str, rule: &str) -> Result<()> {
    if is_legal {
        return Ok(());
    }
    Err(Error::invalid("name_malformed", format!("{what} {} is not a name", excerpt(text)))
        .with("what", what)
        .with("found", excerpt(text))
        .with("bytes", text.len())
        .with("rule", rule))
}

fn check_user(what: &str, text: &str) -> Result<()> {
    let legal = text.len() <= USER_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b'+' | b':'));
    check_legal(legal, what, text, "1 to 100 of A-Z a-z 0-9 - _ . @ + :, starting with a letter or digit")
}

/// Declares newtypes over text, each checked where it is made.
macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident = $what:literal by $check:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text; the error names the rule.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                $check($what, &text)?;
                Ok(Self(text))
            }

            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(text).inspect_err(super::refusal::note)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl ColumnValue for $name {
            const TYPE: ColumnType = ColumnType::Text;
            fn to_cell(&self) -> Cell<'_> {
                Cell::text(&self.0)
            }
            fn from_cell(cell: &Cell<'_>) -> Result<Self> {
                Self::new(String::from_cell(cell)?)
            }
        }
    )*};
}

ids! {
    /// A town: the unit of tenancy.
    TownId = "town" by check_name;
    /// A rig's name; also a folder's name.
    RigName = "rig" by check_name;
    /// An agent's name, unique in its town.
    AgentName = "agent" by check_name;
    /// A bead: `<rig prefix>-<base36>`; children add `.1`, `.2`.
    BeadId = "bead" by check_id;
    /// One run of one agent on one bead.
    SessionId = "session" by check_made_id;
    /// A thing to be done outside the database: `<kind>#<subject>`.
    EffectId = "effect" by check_made_id;
    /// A capability: what the token of it is named in the town.
    CapabilityId = "capability" by check_id;
    /// A person or program that calls for itself: the name the host knows it by.
    UserId = "user" by check_user;
}

impl CapabilityId {
    /// One that is made from another id, and so is legal as that is.
    pub(super) const fn made(text: String) -> Self {
        Self(text)
    }
}

/// A git object id in hexadecimal: 40 digits (SHA-1) or 64 (SHA-256).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

impl Oid {
    /// Parses lower-case hexadecimal digits.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Self(text));
        }
        Err(Error::invalid("oid_malformed", format!("{} is not a git object id", excerpt(&text)))
            .with("found", excerpt(&text))
            .with("rule", "40 or 64 lower-case hexadecimal digits"))
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl std::fmt::Display for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Oid {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text).inspect_err(super::refusal::note)
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> Self {
        oid.0
    }
}

impl ColumnValue for Oid {
    const TYPE: ColumnType = ColumnType::Text;
    fn to_cell(&self) -> Cell<'_> {
        Cell::text(&self.0)
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        Self::new(String::from_cell(cell)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_with_the_rule() {
        let long = "a".repeat(10_000);
        for bad in ["", " ", "a b", "a/b", "..", "../x", "-a", "--output=x", "ä", "mаyor", "A", "a\0b", "a\n", &long]
        {
            for error in [RigName::new(bad).unwrap_err(), AgentName::new(bad).unwrap_err()] {
                assert_eq!(error.code(), "name_malformed", "{bad:?}");
                assert!(error.fact("rule").is_some());
                assert!(error.to_string().len() < 200, "the message stays short");
            }
        }
    }

    #[test]
    fn hostile_ids_are_refused() {
        let long = "a".repeat(ID_BYTES_MAX + 1);
        for bad in ["", "-x", "a b", "a/b", "a..b", "a.", "gt-1'; DROP TABLE bead", &long] {
            assert_eq!(BeadId::new(bad).unwrap_err().code(), "id_malformed", "{bad:?}");
        }
        BeadId::new("a".repeat(ID_BYTES_MAX)).unwrap();
        let longest = BeadId::new("a".repeat(RUN_ID_BYTES_MAX)).unwrap();
        for made in [format!("s-{longest}-9223372036854775807"), format!("delete_branch#s-{longest}-1#4294967295")] {
            SessionId::new(made.clone()).unwrap();
            EffectId::new(made).unwrap();
        }
        assert_eq!(BeadId::new("gt-a3f9k.1").unwrap().as_str(), "gt-a3f9k.1");
    }
}
