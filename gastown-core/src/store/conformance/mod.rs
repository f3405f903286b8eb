//! The conformance kit: what every backend must do, as cases that run against any of them.
//!
//! A backend's crate writes one line, and gets one test for each case:
//!
//! ```
//! gastown_core::store_conformance!(memory, || std::sync::Arc::new(gastown_core::store::MemoryBackend::new()));
//! # fn main() {}
//! ```
//!
//! The factory gives an empty backend each time. A backend that keeps files may hold their directory itself.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case says by a panic that it failed")]
#![allow(clippy::needless_pass_by_value, reason = "every case has the same form")]

mod changes;
mod journal;
mod kit;
mod rows;
pub mod sample;
mod scans;
mod transactions;
mod unreadable;
mod upkeep;

use std::sync::Arc;

use super::Backend;

/// One thing that every backend must do.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it must do, as the name of a test.
    pub name: &'static str,
    /// Panics where the backend does not.
    pub run: fn(Arc<dyn Backend>),
}

/// Hands the names of all cases to a macro: `$callback!([$given] name name …)`.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_cases {
    ($callback:path, $given:tt) => {
        $callback! { $given
            every_kind_of_row_has_a_case
            rows_of_town_round_trip
            rows_of_rig_round_trip
            rows_of_bead_round_trip
            rows_of_bead_text_round_trip
            rows_of_label_round_trip
            rows_of_dependency_round_trip
            rows_of_agent_round_trip
            rows_of_session_round_trip
            rows_of_convoy_round_trip
            rows_of_merge_request_round_trip
            rows_of_delivery_round_trip
            rows_of_effect_round_trip
            rows_of_setting_round_trip
            rows_of_leader_round_trip
            rows_of_idempotency_round_trip
            towns_do_not_see_each_other
            kinds_with_equal_keys_are_apart
            a_text_of_a_megabyte_is_kept
            a_text_with_nul_is_kept
            unicode_is_kept_as_it_is
            quotes_and_statements_are_only_text
            the_extremes_of_integers_are_kept
            keys_that_differ_by_case_or_form_are_apart
            every_index_has_a_case
            scans_of_towns
            scans_of_beads
            scans_of_beads_by_kind
            scans_of_beads_by_status
            scans_of_beads_ready
            scans_of_beads_slung
            scans_of_beads_dirty
            scans_of_beads_due
            scans_of_beads_by_parent
            scans_of_beads_by_convoy
            scans_of_beads_by_assignee
            scans_of_bead_texts
            scans_of_labels_all
            scans_of_labels
            scans_of_labels_by_name
            scans_of_dependencies_all
            scans_of_dependencies
            scans_of_dependents
            scans_of_agents
            scans_of_agents_by_name
            scans_of_agents_by_state
            scans_of_sessions
            scans_of_sessions_by_state
            scans_of_sessions_by_bead
            scans_of_sessions_by_agent
            scans_of_sessions_due
            scans_of_convoys
            scans_of_convoys_by_state
            scans_of_reviews
            scans_of_reviews_by_target
            scans_of_reviews_by_state
            scans_of_reviews_by_source
            scans_of_deliveries
            scans_of_deliveries_by_message
            scans_of_deliveries_by_recipient
            scans_of_deliveries_by_thread
            scans_of_deliveries_due
            scans_of_effects
            scans_of_effects_by_state
            scans_of_rigs
            scans_of_answers
            scans_of_answers_by_age
            scans_of_settings_all
            scans_of_leaders
            scans_of_settings
            pages_give_every_row_once_while_rows_change
            a_position_of_a_row_that_is_gone_still_holds
            text_is_ordered_by_its_bytes
            a_prefix_is_not_a_prefix_of_text
            a_row_leaves_an_index_when_its_condition_ends
            a_position_of_another_index_is_refused
            a_count_is_not_bound_by_the_limit
            a_row_that_cannot_be_read_stops_no_scan
            a_row_that_cannot_be_read_takes_nothing_of_a_limit
            a_row_that_cannot_be_read_is_told_once
            wanting_a_row_that_cannot_be_read_is_an_error
            a_row_that_cannot_be_read_can_be_replaced
            a_row_that_cannot_be_read_can_be_deleted
            columns_that_make_a_row_are_a_row
            columns_of_another_number_are_refused
            a_savepoint_undoes_columns
            an_empty_journal_ends_at_zero
            events_come_back_as_they_were
            events_are_read_by_pages
            events_behind_the_end_are_none
            events_that_leave_a_gap_are_refused
            a_refused_append_writes_none_of_its_events
            appending_nothing_changes_nothing
            a_transaction_sees_its_own_events
            written_events_are_as_appended_ones
            written_events_that_leave_a_gap_are_refused
            the_old_entries_of_a_journal_can_be_removed
            the_last_entry_of_a_journal_stays
            a_savepoint_undoes_the_removal_of_entries
            a_dropped_transaction_removes_no_entries
            journals_of_towns_are_apart
            an_event_of_a_megabyte_is_kept
            rows_and_events_are_committed_together
            a_dropped_transaction_leaves_nothing
            a_transaction_dropped_behind_a_savepoint_leaves_nothing
            a_transaction_sees_its_own_rows
            a_replaced_row_is_as_one_that_was_put
            replacing_a_row_that_is_not_there_puts_it
            a_savepoint_undoes_a_replacement
            a_savepoint_undoes_rows
            a_savepoint_undoes_events
            a_savepoint_can_be_returned_to_again
            a_later_savepoint_replaces_the_earlier
            returning_without_a_savepoint_is_refused
            a_savepoint_does_not_outlive_its_transaction
            a_snapshot_does_not_change
            a_snapshot_is_of_the_moment_it_began
            a_reader_does_not_wait_for_the_writer
            what_was_committed_is_there_for_every_connection
            what_was_committed_outlives_every_connection
            a_reader_may_be_the_first_to_connect
            a_readers_connection_does_not_write
            a_second_writer_waits_for_the_first
            writers_at_once_lose_no_update
            a_connection_serves_many_towns_in_turn
            an_empty_transaction_may_be_committed
            a_sound_database_has_no_findings
            a_vacuum_changes_nothing
            every_watch_hears_a_commit_that_appended
            an_interrupted_watch_stays_awake
            a_store_hears_what_another_commits
        }
    };
}

macro_rules! list {
    ([] $($name:ident)*) => {
        /// Every case.
        pub fn cases() -> Vec<Case> {
            vec![$(Case { name: stringify!($name), run: all::$name },)*]
        }
    };
}

/// The cases by their names.
mod all {
    pub(super) use super::changes::*;
    pub(super) use super::journal::*;
    pub(super) use super::rows::*;
    pub(super) use super::scans::*;
    pub(super) use super::transactions::*;
    pub(super) use super::unreadable::*;
    pub(super) use super::upkeep::*;
}

__store_cases!(list, []);

/// Runs the case of this name.
pub fn run_case(name: &str, backend: Arc<dyn Backend>) {
    let case = cases().into_iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"));
    (case.run)(backend);
}

/// Runs every case, each on an empty backend, and says which failed.
pub fn run(backend: &dyn Fn() -> Arc<dyn Backend>) {
    let failed: Vec<_> = cases()
        .into_iter()
        .filter(|case| {
            let made = backend();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (case.run)(made))).is_err()
        })
        .map(|case| case.name)
        .collect();
    assert!(failed.is_empty(), "{} cases failed: {}", failed.len(), failed.join(", "));
}

/// Makes a module with one test for each case of the kit.
///
/// The second argument is a closure that gives an empty backend in an `Arc`.
#[macro_export]
macro_rules! store_conformance {
    ($module:ident, $factory:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the factory may name what is around it")]
            use super::*;
            $crate::__store_cases!($crate::__store_tests, [$factory]);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    ([$factory:expr] $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let made = $factory;
            $crate::store::conformance::run_case(stringify!($name), made());
        })*
    };
}
