//! Patterns of paths.

use super::{check_refusal, text_of};
use crate::work::globs::Glob;

/// What one question about reservations may cost.
const STEPS_MAX: usize = 1_000_000;

/// Two patterns, a line each: they overlap in both directions or in none, and the path that is shown is one of both.
pub(super) fn run(bytes: &[u8]) {
    let text = text_of(bytes);
    let (one, other) = text.split_once('\n').unwrap_or((&text, "**"));
    let [one, other] = [one, other].map(|pattern| match Glob::new(pattern) {
        Ok(glob) => {
            assert_eq!(glob.as_str(), pattern);
            Some(glob)
        }
        Err(error) => {
            check_refusal(&error, &["pattern_malformed"]);
            None
        }
    });
    let (Some(one), Some(other)) = (one, other) else { return };
    let found = [(&one, &other), (&other, &one)].map(|(a, b)| match a.common(b, &mut STEPS_MAX.clone()) {
        Ok(path) => Some(path),
        Err(error) => {
            check_refusal(&error, &["patterns_too_complex"]);
            None
        }
    });
    let [Some(there), Some(back)] = found else { return };
    assert_eq!(there.is_some(), back.is_some(), "{one:?} and {other:?}");
    for path in there.into_iter().chain(back) {
        assert!(!path.split('/').any(str::is_empty) && !path.contains('\0'), "{path:?} is a path");
        assert!(one.fits(&path) && other.fits(&path), "{path:?} is one of {one:?} and {other:?}");
    }
}
