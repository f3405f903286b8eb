//! Giving the work of a host away before it goes.

use super::town::Town;
use crate::executor::PumpState;
use crate::model::{Error, Result, Scope};
use crate::store::Reader;
use crate::work::view::View;
use crate::work::{DrainTown, drain};

impl Town {
    /// Gives the work of this host away, and stops the engine: for a machine that goes away.
    ///
    /// Nothing is started any more. Agents that run are told where they can hear, and have `grace_ms` to commit, to leave
    /// a checkpoint or to finish; then they are stopped. What they had committed and what they had not is put at the
    /// remote under `gt/saved/<bead>.<epoch>`, never on a branch that work lands on, and the next engine of the town, on
    /// whatever host, starts other sessions from there. Returns when nothing is left to be waited for.
    ///
    /// Dropping the future leaves the drain under way; [`Upkeep::resume`](super::Upkeep::resume) calls it off.
    ///
    /// # Errors
    /// `engine_not_running` where none runs here, or none any more; what ended the engine, where it gave up meanwhile:
    /// what is not saved by then, the next engine on this machine finds. `drain_called_off`.
    pub async fn drain(&self, input: impl Into<DrainTown>) -> Result<()> {
        let Some(mut states) = self.pump_states().await else { return Err(not_running()) };
        is_running(&states.borrow_and_update())?;
        let mut commits = self.shared.store.commits();
        self.operator().upkeep().drain(input).await?;
        loop {
            commits.mark_unchanged();
            let now = self.ctx().now;
            let progress = move |reader: &dyn Reader| drain::progress(View::new(reader, &Scope::Town, now));
            match self.shared.store.read(progress).await? {
                Some(draining) if draining.is_done() => return self.stop().await,
                Some(_) => {}
                None => return Err(Error::conflict("drain_called_off", "somebody called the drain off")),
            }
            tokio::select! {
                changed = commits.changed() => {
                    changed.map_err(|_| Error::unavailable("store_closed", "the store is closed"))?;
                }
                changed = states.changed() => {
                    changed.map_err(|_| not_running())?;
                    is_running(&states.borrow_and_update())?;
                }
            }
        }
    }
}

fn is_running(state: &PumpState) -> Result<()> {
    match state {
        PumpState::Running => Ok(()),
        PumpState::Stopped => Err(not_running()),
        PumpState::Failed(error) => Err(error.clone()),
    }
}

fn not_running() -> Error {
    Error::conflict("engine_not_running", "the engine does not run here, so nothing of this host is to be drained")
}
