//! How many connections each holder of a token has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Error, Result};

/// The connections of every holder, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders(Arc<Mutex<HashMap<String, usize>>>);

/// One connection among those of its holder, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    holders: Holders,
    holder: String,
}

impl Holders {
    /// A place for one more connection of this holder.
    ///
    /// # Errors
    /// `connections_exhausted`.
    pub(super) fn take(&self, holder: &str, most: usize) -> Result<Seat> {
        let mut counts = self.lock();
        let count = counts.entry(holder.to_owned()).or_default();
        if *count >= most {
            let said = format!("{most} connections with this token are open, which is the most");
            return Err(Error::exhausted("connections_exhausted", said).with("connections_max", most));
        }
        *count += 1;
        Ok(Seat { holders: self.clone(), holder: holder.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.holders.lock();
        if let Some(count) = counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_its_own_places_and_gives_them_back() {
        let holders = Holders::default();
        let seats = [holders.take("a", 2).unwrap(), holders.take("a", 2).unwrap()];
        let error = holders.take("a", 2).unwrap_err();
        assert_eq!((error.code(), error.fact("connections_max")), ("connections_exhausted", Some("2")));
        holders.take("b", 2).unwrap();
        drop(seats);
        holders.take("a", 2).unwrap();
        assert!(holders.lock().is_empty(), "nothing is kept of who is gone");
    }
}
