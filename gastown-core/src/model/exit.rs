//! How sessions end, and what each way of ending leads to.

use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;

text_enum! {
    /// How a session ended.
    pub enum SessionExit = "session exit" {
        /// It left commits and said or meant that it was done.
        Succeeded = "succeeded",
        /// Its program said that the work failed.
        Failed = "failed",
        /// It ran longer than it may.
        TimedOut = "timed_out",
        /// It made no progress for longer than it may.
        Stalled = "stalled",
        /// Its model's provider refused for the rate.
        RateLimited = "rate_limited",
        /// Somebody stopped it.
        Cancelled = "cancelled",
        /// Nobody knows what became of it.
        Lost = "lost",
        /// Credentials were refused.
        AuthFailed = "auth_failed",
        /// It ended well but left nothing, or said what makes no sense.
        ProtocolError = "protocol_error",
        /// It died by a signal.
        Crashed = "crashed",
        /// A later session of the bead took its place.
        Superseded = "superseded",
        /// It could not be started.
        Refused = "refused",
        /// Its agent handed the work to a session of its own that goes on.
        HandedOff = "handed_off",
        /// Its host is going away; another session goes on from what it left.
        Drained = "drained",
    }
}

text_enum! {
    /// Whose fault a broken-off session was; each has a counter of its own.
    pub enum Fault = "fault" {
        /// The work's: an attempt at it failed.
        Work = "work",
        /// The agent's: its program broke, hung, or left nothing.
        Agent = "agent",
        /// The machine's, the runtime's or the network's: no attempt was made.
        Infrastructure = "infrastructure",
        /// Credentials were refused: no attempt was made.
        Credentials = "credentials",
    }
}

text_enum! {
    /// What becomes of the hook that the bead is on.
    pub enum HookFate = "fate of a hook" {
        /// The agent holds nothing any more.
        Released = "released",
        /// The agent goes on with the bead.
        Kept = "kept",
    }
}

text_enum! {
    /// What becomes of a session's workspace.
    pub enum WorkspaceFate = "fate of a workspace" {
        /// It is removed; what was committed is in the mirror.
        Removed = "removed",
        /// It is removed, unless the machine kept us from bringing its commits home, or what was not committed: then it stays.
        KeptUnsaved = "kept_unsaved",
    }
}

text_enum! {
    /// When the bead runs again by itself.
    pub enum Again = "time of another run" {
        /// Not: its change is in the merge queue, or a later session has it.
        Never = "never",
        /// When somebody slings it.
        WhenSlung = "when_slung",
        /// At once, with the same agent.
        AtOnce = "at_once",
        /// After the wait that the settings give for the fault.
        AfterBackoff = "after_backoff",
    }
}

/// What an exit leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consequence {
    /// The counter of the bead that it counts to; none where it was nobody's fault.
    pub fault: Option<Fault>,
    /// What becomes of the hook.
    pub hook: HookFate,
    /// What becomes of the workspace.
    pub workspace: WorkspaceFate,
    /// When the bead runs again.
    pub again: Again,
}

impl SessionExit {
    /// What the exit leads to: the one table of it.
    #[allow(clippy::match_same_arms, reason = "a table has a line for each")]
    pub const fn consequence(self) -> Consequence {
        use {Again as A, Fault as F, HookFate as H, WorkspaceFate as W};
        let (fault, hook, workspace, again) = match self {
            Self::Succeeded => (None, H::Released, W::Removed, A::Never),
            Self::Failed => (Some(F::Work), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::TimedOut => (Some(F::Work), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::Stalled => (Some(F::Agent), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::RateLimited => (Some(F::Infrastructure), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::Cancelled => (None, H::Released, W::KeptUnsaved, A::WhenSlung),
            Self::Lost => (Some(F::Infrastructure), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::AuthFailed => (Some(F::Credentials), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::ProtocolError => (Some(F::Agent), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::Crashed => (Some(F::Agent), H::Released, W::KeptUnsaved, A::AfterBackoff),
            Self::Superseded => (None, H::Released, W::KeptUnsaved, A::Never),
            Self::Refused => (Some(F::Infrastructure), H::Released, W::Removed, A::AfterBackoff),
            Self::HandedOff => (None, H::Kept, W::KeptUnsaved, A::AtOnce),
            Self::Drained => (None, H::Kept, W::KeptUnsaved, A::AtOnce),
        };
        Consequence { fault, hook, workspace, again }
    }

    /// Whose fault the exit was.
    pub const fn fault(self) -> Option<Fault> {
        self.consequence().fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `docs/sessions.md` as the code has it.
    fn table() -> String {
        use std::fmt::Write as _;

        let mut text = String::from("| exit | counts to | hook | workspace | runs again |\n|---|---|---|---|---|\n");
        for &exit in SessionExit::ALL {
            let Consequence { fault, hook, workspace, again } = exit.consequence();
            let fault = fault.map_or("", Fault::as_str);
            writeln!(text, "| `{exit}` | {fault} | {hook} | {workspace} | {again} |").unwrap();
        }
        text
    }

    #[test]
    fn the_documented_table_of_exits_is_the_one_in_the_code() {
        let page = include_str!("../../../docs/sessions.md");
        let table = table();
        assert!(page.contains(&table), "docs/sessions.md wants this table:\n{table}");
    }

    #[test]
    fn what_counts_as_a_fault_runs_again_after_a_wait_and_nothing_else_does() {
        for &exit in SessionExit::ALL {
            let Consequence { fault, hook, again, .. } = exit.consequence();
            assert_eq!(fault.is_some(), again == Again::AfterBackoff, "{exit}");
            assert_eq!(hook == HookFate::Kept, again == Again::AtOnce, "{exit}");
        }
    }

    #[test]
    fn a_run_that_never_started_is_no_failed_attempt() {
        for exit in [SessionExit::Refused, SessionExit::Lost, SessionExit::RateLimited, SessionExit::AuthFailed] {
            assert!(matches!(exit.fault(), Some(Fault::Infrastructure | Fault::Credentials)), "{exit}");
        }
    }
}
