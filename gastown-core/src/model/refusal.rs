//! What a value was refused for, kept while JSON is read: serde passes only the sentence on.

use std::cell::RefCell;

use super::Error;

/// What a thread knows of the last refusal.
enum Last {
    NobodyAsks,
    None,
    Refused(Error),
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last::NobodyAsks) };
}

/// Reads something and gives with it the last refusal that was noted meanwhile on this thread.
pub(crate) fn noting<T>(read: impl FnOnce() -> T) -> (T, Option<Error>) {
    let outer = LAST.replace(Last::None);
    let read = read();
    match LAST.replace(outer) {
        Last::Refused(error) => (read, Some(error)),
        Last::NobodyAsks | Last::None => (read, None),
    }
}

/// Notes why a value was refused, where somebody asks.
pub(crate) fn note(error: &Error) {
    LAST.with_borrow_mut(|last| {
        if !matches!(last, Last::NobodyAsks) {
            *last = Last::Refused(error.clone());
        }
    });
}
