//! Old mistakes that a test may put back, to show that the simulator sees them.
//!
//! Each is a condition at the one place where the mistake would be. Without the feature `testkit` no mutant ever lives,
//! and the condition is gone from the program.

/// A mistake that some tool made, or could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A paused town hands out beads.
    PauseIgnored,
    /// A rig has more sessions than it may.
    LimitIgnored,
    /// An agent with a bead is given another.
    BusyAgentTaken,
    /// A session that has ended leaves its bead on the hook.
    HookKept,
    /// A change lands that no gate has passed.
    GateSkipped,
    /// A conflict is told to nobody.
    ConflictDropped,
    /// What an earlier leader had begun is never asked about.
    OutboxForgotten,
    /// Nobody waits for the processes of an earlier host.
    SurvivorsUnwatched,
    /// The workspaces of ended sessions stay.
    CleanupForgotten,
    /// A change is written and not journaled.
    ChangeUnjournaled,
    /// What a drained session left is put nowhere.
    DrainUnsaved,
}

impl Mutant {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::PauseIgnored,
        Self::LimitIgnored,
        Self::BusyAgentTaken,
        Self::HookKept,
        Self::GateSkipped,
        Self::ConflictDropped,
        Self::OutboxForgotten,
        Self::SurvivorsUnwatched,
        Self::CleanupForgotten,
        Self::ChangeUnjournaled,
        Self::DrainUnsaved,
    ];
}

/// Whether the mistake is made.
#[inline]
pub(crate) fn lives(mutant: Mutant) -> bool {
    #[cfg(feature = "testkit")]
    return living::lives(mutant);
    #[cfg(not(feature = "testkit"))]
    {
        let _ = mutant;
        false
    }
}

#[cfg(feature = "testkit")]
pub use living::with;

#[cfg(feature = "testkit")]
mod living {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static LIVING: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Makes the mistake in whatever this thread does meanwhile.
    pub fn with<T>(mutant: Mutant, work: impl FnOnce() -> T) -> T {
        struct Ends;
        impl Drop for Ends {
            fn drop(&mut self) {
                LIVING.set(None);
            }
        }
        let _ends = Ends;
        LIVING.set(Some(mutant));
        work()
    }

    pub(super) fn lives(mutant: Mutant) -> bool {
        LIVING.get() == Some(mutant)
    }
}
