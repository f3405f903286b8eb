//! Every metric there is: its name, what it is, its labels, what it means.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows, from nothing when the town was opened.
    Counter,
    /// It is as it was found last.
    Gauge,
    /// How many there were up to each bound, and their sum.
    Histogram,
}

impl MetricKind {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, with its unit at the end.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// The names of its labels, whose values are words of the library and no ids.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $metric:ident = $name:literal [$($label:literal)*] $meaning:literal;)*) => {
        $(pub(crate) static $metric: Metric =
            Metric { name: $name, kind: MetricKind::$kind, labels: &[$($label),*], meaning: $meaning };)*

        /// All of them, by kind and name.
        pub(crate) static METRICS: &[&Metric] = &[$(&$metric),*];

        /// The names by which the library's own code calls them.
        #[cfg(test)]
        pub(crate) const SYMBOLS: &[&str] = &[$(stringify!($metric)),*];
    };
}

metrics! {
    Counter BREAKER_TRIPS = "gastown_breaker_trips_total" ["of"]
        "Breakers that opened: of a rig or of the runtime.";
    Counter COMMANDS = "gastown_commands_total" ["operation" "outcome"]
        "Operations that were called; the outcome is `ok`, the kind of the error, or `abandoned` where nobody waited for the answer.";
    Counter DEAD_LETTERS = "gastown_dead_letters_total" ["effect"]
        "Effects that were given up; `effects.list` has them with their reasons.";
    Counter EFFECTS = "gastown_effects_total" ["effect" "outcome"]
        "Effects that were run or looked after: `done`, `retry`, `refused`, `failed` or found `absent`.";
    Counter EFFECT_RETRIES = "gastown_effect_retries_total" ["setback"]
        "Effects that did not happen and wait for another try, by what kept them.";
    Counter RULES_FIRED = "gastown_rules_fired_total" ["event"]
        "What the engine's rules did in its ticks, as entries of the journal by their kind.";
    Counter SESSIONS_ENDED = "gastown_sessions_ended_total" ["exit"]
        "Sessions that ended, by how.";
    Counter TICKS = "gastown_ticks_total" ["outcome"]
        "Ticks of the engine; the outcome is `ok` or the kind of the error.";
    Counter WRITES_AGAIN = "gastown_writes_again_total" ["code"]
        "Write transactions that were run again, by the code of the error: another process held the database, a connection was lost.";
    Gauge ACTIVE_SESSIONS = "gastown_active_sessions" ["role"]
        "Agents with a session, by role.";
    Gauge BEADS = "gastown_beads" ["state"]
        "Open issues that nothing blocks (`ready`), issues in work (`claimed`), and those that wait for an agent (`slung`).";
    Gauge LEADER = "gastown_leader" []
        "1 where the engine of this process leads the town, else 0.";
    Gauge MERGE_QUEUE = "gastown_merge_queue_depth" []
        "Merge requests that are on their way.";
    Gauge OUTBOX = "gastown_outbox_effects" ["state"]
        "Effects that are `planned`, begun (`issued`), or of which nobody knows yet whether they happened (`ambiguous`).";
    Gauge WRITE_QUEUE = "gastown_write_queue_depth" []
        "Commands that wait for the writer.";
    Histogram BEAD_AGE = "gastown_bead_closed_after_seconds" ["kind"]
        "From a bead's creation to its close, by the town's clock.";
    Histogram COMMAND_DURATION = "gastown_command_duration_seconds" ["operation"]
        "From a call to its answer.";
    Histogram COMMAND_WAIT = "gastown_command_wait_seconds" []
        "From the call of a changing command until the writer began with it.";
    Histogram COMMIT_DURATION = "gastown_commit_duration_seconds" []
        "The commit of a write transaction, which is of one or many commands.";
    Histogram EFFECT_DURATION = "gastown_effect_duration_seconds" ["effect"]
        "The run of an effect in the outside world.";
    Histogram SESSION_DURATION = "gastown_session_duration_seconds" []
        "From the start of a session's process to its end, by the town's clock.";
    Histogram SLING_TO_RUNNING = "gastown_sling_to_running_seconds" []
        "From a sling until a process of an agent runs, by the town's clock; each attempt counts, from the first sling.";
    Histogram TICK_DURATION = "gastown_tick_duration_seconds" []
        "One tick of the engine, with its commit.";
}
