//! Removing the output of ended sessions that is too old or too much.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Result, Scope, SessionId, Timestamp};
use crate::runtime::{ContainerRuntime, SessionState};
use crate::store::{Reader, Store, Txn};
use crate::work::command;
use crate::work::session_output::{self, Retention};
use crate::work::txn::Ctx;
use crate::work::view::View;

/// The most sessions whose output one sweep removes.
const REMOVED_MAX: usize = 256;
/// The engine sweeps at least this often while there is output.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// And not more often than this, however many sessions end.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) removed_sessions: u64,
    pub(crate) removed_bytes: u64,
    pub(crate) kept_sessions: u64,
    pub(crate) kept_bytes: u64,
    pub(crate) has_more: bool,
    /// When the next of what is left is too old.
    next_at: Option<Timestamp>,
}

/// Removes the output of ended sessions that is older than it is kept, and then the oldest while there is too much.
///
/// Never that of a session that runs, that the town does not know as ended, or about which an effect is under way. The
/// journal says what goes before it goes; what is left half removed by a crash goes with the next sweep.
pub(crate) async fn sweep(
    store: &Store,
    runtime: &dyn ContainerRuntime,
    ctx: &(dyn Fn() -> Ctx + Send + Sync),
) -> Result<Swept> {
    runtime.tidy().await?;
    let mut there = BTreeMap::new();
    let mut swept = Swept::default();
    for status in runtime.list().await? {
        swept.kept_sessions += 1;
        swept.kept_bytes += status.kept_bytes;
        if matches!(status.state, SessionState::Exited(_)) {
            there.insert(status.session, status.kept_bytes);
        }
    }
    if there.is_empty() {
        return Ok(swept);
    }
    let now = ctx().now;
    let asked: Vec<SessionId> = there.keys().cloned().collect();
    let retention = store
        .read(move |reader: &dyn Reader| session_output::retention(View::new(reader, &Scope::Town, now), &asked))
        .await?;
    for bytes in retention.unknown.iter().filter_map(|session| there.get(session)) {
        swept.kept_sessions -= 1;
        swept.kept_bytes = swept.kept_bytes.saturating_sub(*bytes);
    }
    let expired = choose(retention, &there, now, &mut swept);
    if expired.is_empty() {
        return Ok(swept);
    }
    let (ctx, said) = (ctx(), expired.clone());
    store
        .write(move |raw: &mut dyn Txn| {
            command::step(raw, &ctx, "session.output_expired", |txn| {
                session_output::output_expired(txn, &said);
                Ok(())
            })
        })
        .await?;
    let mut failed = None;
    for (session, bytes, _) in expired {
        if let Err(error) = runtime.forget(&session).await {
            tracing::warn!(%session, error = %error.chain(), "the output of a session cannot be removed");
            failed.get_or_insert(error);
            continue;
        }
        swept.removed_sessions += 1;
        swept.removed_bytes += bytes;
        swept.kept_sessions -= 1;
        swept.kept_bytes -= bytes;
    }
    failed.map_or(Ok(swept), Err)
}

/// What goes, oldest first, with its size and why.
fn choose(
    mut retention: Retention,
    there: &BTreeMap<SessionId, u64>,
    now: Timestamp,
    swept: &mut Swept,
) -> Vec<(SessionId, u64, &'static str)> {
    retention.ended.sort_by(|(one, at, _), (other, than, _)| (at, one).cmp(&(than, other)));
    let mut left = swept.kept_bytes;
    let mut expired = Vec::new();
    let mut kept = Vec::new();
    for (session, _, until) in retention.ended {
        let bytes = there.get(&session).copied().unwrap_or(0);
        if until <= now {
            left = left.saturating_sub(bytes);
            expired.push((session, bytes, "age"));
        } else {
            kept.push((session, bytes, until));
        }
    }
    for (session, bytes, until) in kept {
        // One that holds nothing makes no room.
        if left > retention.bytes_max && bytes > 0 {
            left = left.saturating_sub(bytes);
            expired.push((session, bytes, "size"));
        } else {
            swept.next_at = Some(swept.next_at.map_or(until, |at| at.min(until)));
        }
    }
    swept.has_more = expired.len() > REMOVED_MAX;
    expired.truncate(REMOVED_MAX);
    expired
}

/// When the engine sweeps: at its beginning, when output falls due, a while after sessions ended, and now and then.
#[derive(Debug)]
pub(super) struct Sweeping(Mutex<State>);

#[derive(Debug)]
struct State {
    is_running: bool,
    last_at: Timestamp,
    next_at: Timestamp,
}

impl Sweeping {
    pub(super) fn new(now: Timestamp) -> Self {
        Self(Mutex::new(State { is_running: false, last_at: now, next_at: now }))
    }

    /// When the next sweep is due; none while one runs, because its end wakes the loop.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!state.is_running).then_some(state.next_at)
    }

    /// Whether one is to be begun now; then it has begun.
    pub(super) fn begin(&self, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = !state.is_running && state.next_at <= now;
        if is_due {
            (state.is_running, state.last_at) = (true, now);
            // A session that ends meanwhile brings it forward.
            state.next_at = now.after(SWEEP_EVERY);
        }
        is_due
    }

    /// Sessions have ended, so that there may be too much.
    pub(super) fn session_ended(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.next_at = state.next_at.min(state.last_at.after(SWEEP_PAUSE));
    }

    pub(super) async fn run(
        &self,
        store: &Store,
        runtime: &dyn ContainerRuntime,
        ctx: &(dyn Fn() -> Ctx + Send + Sync),
    ) {
        let _running = Running(self);
        let swept = sweep(store, runtime, ctx).await;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match swept {
            Ok(swept) => {
                if swept.removed_sessions > 0 {
                    tracing::info!(
                        sessions = swept.removed_sessions,
                        bytes = swept.removed_bytes,
                        "output was removed"
                    );
                }
                let due = if swept.has_more { Some(state.last_at) } else { swept.next_at };
                if let Some(due) = due {
                    let earliest = if swept.has_more { due } else { state.last_at.after(SWEEP_PAUSE) };
                    state.next_at = state.next_at.min(due.max(earliest));
                }
            }
            Err(error) => tracing::warn!(error = %error.chain(), "output was not swept; it will be tried again later"),
        }
    }
}

/// Says that no sweep runs any more, however it ended.
struct Running<'a>(&'a Sweeping);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).is_running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn chosen(bytes_max: u64, now: i64) -> (Vec<(String, &'static str)>, Option<Timestamp>) {
        let id = |name: &str| SessionId::new(name).unwrap();
        // They ended in the order b, c, a; d runs.
        let there = BTreeMap::from([(id("a"), 30), (id("b"), 10), (id("c"), 20)]);
        let ended = vec![(id("a"), at(3), at(103)), (id("b"), at(1), at(101)), (id("c"), at(2), at(102))];
        let mut swept = Swept { kept_sessions: 4, kept_bytes: 100, ..Swept::default() };
        let expired = choose(Retention { ended, unknown: Vec::new(), bytes_max }, &there, at(now), &mut swept);
        (expired.into_iter().map(|(id, _, why)| (id.to_string(), why)).collect(), swept.next_at)
    }

    #[test]
    fn the_oldest_goes_first_until_there_is_room_and_age_counts_before_size() {
        assert_eq!(chosen(100, 50), (vec![], Some(at(101))));
        assert_eq!(chosen(95, 50), (vec![("b".to_owned(), "size")], Some(at(102))));
        assert_eq!(chosen(75, 101), (vec![("b".to_owned(), "age"), ("c".to_owned(), "size")], Some(at(103))));
        let all: Vec<_> = ["b", "c", "a"].map(|name| (name.to_owned(), "size")).into();
        assert_eq!(chosen(0, 50), (all, None));
    }

    #[test]
    fn the_engine_sweeps_at_once_then_hourly_and_a_while_after_an_end() {
        let sweeping = Sweeping::new(at(0));
        assert!(sweeping.begin(at(0)));
        assert_eq!(sweeping.due_at(), None, "one runs");
        sweeping.0.lock().unwrap().is_running = false;
        assert_eq!(sweeping.due_at(), Some(at(0).after(SWEEP_EVERY)));
        sweeping.session_ended();
        assert_eq!(sweeping.due_at(), Some(at(0).after(SWEEP_PAUSE)));
        assert!(!sweeping.begin(at(1)));
    }
}
