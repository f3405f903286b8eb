//! The one error of the library.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a caller should do about an [`Error`].
///
/// A kind exists only where a caller would act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was named does not exist, or is not visible in this scope.
    NotFound,
    /// The request can never succeed as it is; mend it.
    Invalid,
    /// The state does not allow it now; read again and decide.
    Conflict,
    /// The scope does not allow it.
    Forbidden,
    /// Something outside did not answer; try again later.
    Unavailable,
    /// A bound was reached: a limit, a deadline, a full queue.
    Exhausted,
    /// Stored data is damaged or is not ours.
    Corrupt,
    /// This build or this machine cannot do it: newer schema, too old a program, a feature left out.
    Unsupported,
    /// A defect of the library.
    Internal,
}

impl ErrorKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::NotFound,
        Self::Invalid,
        Self::Conflict,
        Self::Forbidden,
        Self::Unavailable,
        Self::Exhausted,
        Self::Corrupt,
        Self::Unsupported,
        Self::Internal,
    ];

    /// The kind's name in every language: `not_found`, `invalid`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::Exhausted => "exhausted",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Any failure of the library: a kind, a stable code, a sentence, the facts, and what caused it.
///
/// It is cheap to clone, because one failed commit answers every command of its batch.
///
/// ```
/// use gastown_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Conflict, "bead_held", "bead gt-a3f9k is held by polecat/nux (epoch 4)")
///     .with("bead", "gt-a3f9k")
///     .with("epoch", 4);
/// assert_eq!(error.kind(), ErrorKind::Conflict);
/// assert_eq!(error.code(), "bead_held");
/// assert_eq!(error.fact("epoch"), Some("4"));
/// assert_eq!(error.to_string(), "bead gt-a3f9k is held by polecat/nux (epoch 4)");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: String,
    facts: BTreeMap<Cow<'static, str>, String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync + 'static>>,
}

/// The result of every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a kind, a stable snake_case code and a sentence without a full stop.
    pub fn new(kind: ErrorKind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, code: code.into(), message: message.into(), facts: BTreeMap::new(), source: None }))
    }

    /// An error that another process told.
    #[cfg(feature = "process")]
    pub(crate) fn told(kind: ErrorKind, code: String, message: String, facts: BTreeMap<String, String>) -> Self {
        let facts = facts.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect();
        Self(Box::new(Inner { kind, code: Cow::Owned(code), message, facts, source: None }))
    }

    /// Short for [`ErrorKind::NotFound`].
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message)
    }

    /// Short for [`ErrorKind::Invalid`].
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// Short for [`ErrorKind::Conflict`].
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, message)
    }

    /// Short for [`ErrorKind::Forbidden`].
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, code, message)
    }

    /// Short for [`ErrorKind::Unavailable`].
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, code, message)
    }

    /// Short for [`ErrorKind::Exhausted`].
    pub fn exhausted(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Exhausted, code, message)
    }

    /// Short for [`ErrorKind::Corrupt`].
    pub fn corrupt(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, code, message)
    }

    /// Short for [`ErrorKind::Unsupported`].
    pub fn unsupported(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, code, message)
    }

    /// Short for [`ErrorKind::Internal`].
    pub fn internal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, code, message)
    }

    /// Adds a fact; a later one of the same name replaces the earlier.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.facts.insert(Cow::Borrowed(name), value.to_string());
        self
    }

    /// Says where in the input the value is that it is about: what it says of it already is a part of `place`.
    #[must_use]
    pub(crate) fn within(self, place: impl fmt::Display) -> Self {
        match self.fact("field").map(|field| format!("{place}.{field}")) {
            Some(field) => self.with("field", field),
            None => self,
        }
    }

    /// Adds what caused it; never folded into the sentence.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code, for programs.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// One fact by name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.0.facts.get(name).map(String::as_str)
    }

    /// All facts, ordered by name.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.facts.iter().map(|(k, v)| (k.as_ref(), v.as_str()))
    }

    /// The sentence with every cause behind it, for logs.
    pub fn chain(&self) -> String {
        let mut text = self.0.message.clone();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", self.0.kind, self.0.code, self.chain())?;
        if !self.0.facts.is_empty() {
            write!(f, " {:?}", self.0.facts)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}
