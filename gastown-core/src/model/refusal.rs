//! What a value was refused for, kept while JSON is read: serde passes only the sentence on.

use std::cell::RefCell;

use super::Error;

thread_local! {
    /// None while nobody asks; else the last refusal.
    static LAST: RefCell<Option<Option<Error>>> = const { RefCell::new(None) };
}

/// Reads something and gives with it the last refusal that was noted meanwhile on this thread.
pub(crate) fn noting<T>(read: impl FnOnce() -> T) -> (T, Option<Error>) {
    let outer = LAST.replace(Some(None));
    let read = read();
    (read, LAST.replace(outer).flatten())
}

/// Notes why a value was refused, where somebody asks.
pub(crate) fn note(error: &Error) {
    LAST.with_borrow_mut(|last| {
        if let Some(last) = last {
            *last = Some(error.clone());
        }
    });
}
