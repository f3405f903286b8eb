//! Where the events of what is done outside belong: a bead, a session of it, an effect.

use tracing::Span;

use crate::model::{BeadId, Order, SessionId, SessionRow, TownId};
use crate::work::effects::Issued;

/// The life of a session, in that of its bead.
pub(super) fn session(town: &TownId, session: &SessionRow) -> Span {
    of_session(town, &session.id, session.bead.as_str(), session.epoch)
}

/// One run of an effect, in the session or bead that it is about.
pub(super) fn effect(town: &TownId, issued: &Issued) -> Span {
    let Issued { id, attempt, probe, order } = issued;
    let around = match order {
        Order::Start { session, bead, epoch, .. } => of_session(town, session, bead.as_str(), *epoch),
        Order::Stop { session, .. }
        | Order::Nudge { session, .. }
        | Order::Notice { session, .. }
        | Order::Save { session, .. }
        | Order::Cleanup { session, .. } => {
            let (bead, epoch) = named(session);
            of_session(town, session, bead, epoch)
        }
        Order::Publish { review: bead, .. }
        | Order::Merge { review: bead, .. }
        | Order::Gate { review: bead, .. }
        | Order::Land { review: bead, .. }
        | Order::Branch { convoy: bead, .. } => of_bead(town, bead),
        Order::DeleteBranch { .. } => Span::none(),
    };
    tracing::info_span!(parent: &around, "effect", %town, effect = %id, kind = order.kind(), attempt, probe)
}

fn of_bead(town: &TownId, bead: &BeadId) -> Span {
    tracing::info_span!(parent: None, "bead", %town, %bead)
}

fn of_session(town: &TownId, session: &SessionId, bead: &str, epoch: i64) -> Span {
    let around = tracing::info_span!(parent: None, "bead", %town, bead);
    tracing::info_span!(parent: &around, "session", %session, epoch)
}

/// The bead and the epoch that the id of a session names.
fn named(session: &SessionId) -> (&str, i64) {
    let name = session.as_str().strip_prefix("s-").unwrap_or(session.as_str());
    let (bead, epoch) = name.rsplit_once('-').unwrap_or((name, ""));
    (bead, epoch.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_session_names_its_bead_and_epoch() {
        let of = |id: &str| {
            let id = SessionId::new(id).unwrap();
            let (bead, epoch) = named(&id);
            (bead.to_owned(), epoch)
        };
        assert_eq!(of("s-gt-a3f-7"), ("gt-a3f".to_owned(), 7));
        assert_eq!(of("other"), ("other".to_owned(), 0));
    }
}
