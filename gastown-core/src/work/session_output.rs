//! How long what sessions printed is kept.

use std::collections::BTreeSet;

use serde_json::json;

use super::settings;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::{EffectRow, EffectState, Key, Order, Result, SessionId, SessionRow, SessionState, Timestamp};
use crate::store::{Scan, index};

/// Which ended sessions' output may go, and what says how long it stays.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    /// The ended sessions among those asked for that nothing needs any more: when each ended, and until when it stays.
    pub ended: Vec<(SessionId, Timestamp, Timestamp)>,
    /// Those that the town does not know: they are not its own to remove, and take nothing of its room.
    pub unknown: Vec<SessionId>,
    /// The most bytes of output in the town.
    pub bytes_max: u64,
}

/// Looks at these sessions; what the town does not know as ended, or still has to do something about, stays.
pub(crate) fn retention(view: View<'_>, asked: &[SessionId]) -> Result<Retention> {
    let mut needed = BTreeSet::new();
    for state in EffectState::ALL.iter().filter(|state| !state.is_terminal()) {
        let scan = Scan::new(&index::EFFECTS_BY_STATE, vec![text(state.as_str())], 0);
        view.walk::<EffectRow>(scan, |row| {
            match row.order() {
                Ok(Order::Start { session, .. } | Order::Stop { session, .. } | Order::Cleanup { session, .. }) => {
                    needed.insert(session);
                }
                Ok(_) => {}
                // What it wants cannot be read, but its id names its session.
                Err(_) => needed.extend(asked.iter().filter(|id| row.id.as_str().contains(id.as_str())).cloned()),
            }
            Ok(true)
        })?;
    }
    let (mut ended, mut unknown) = (Vec::new(), Vec::new());
    for id in asked.iter().filter(|id| !needed.contains(*id)) {
        let Some(row) = view.find::<SessionRow>(&Key::session(id))? else {
            unknown.push(id.clone());
            continue;
        };
        if let (SessionState::Ended, Some(at)) = (row.state, row.ended_at) {
            let keep = settings::duration(view, Some(&row.rig), "output.keep_ms")?;
            ended.push((id.clone(), at, at.after(keep)));
        }
    }
    Ok(Retention { ended, unknown, bytes_max: settings::resolve(view, None, "output.bytes_max")? })
}

/// Says in the journal that the output of these sessions goes, before it does.
pub(crate) fn output_expired(txn: &mut ScopedTxn<'_>, expired: &[(SessionId, u64, &'static str)]) {
    for (id, bytes, why) in expired {
        txn.event("session.output_expired", id, json!({ "kept_bytes": bytes, "why": why }));
    }
}
