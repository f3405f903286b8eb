//! Looking at sessions: asking the runtime whether they live and how much they have shown.

use tokio::task::JoinSet;

use super::context::Context;
use crate::model::SessionId;
use crate::runtime::SessionState;
use crate::work::liveness::{self, Due, Seen, Sign};

/// How many sessions are looked at at once.
const AT_ONCE: usize = 16;

/// Looks at each of these and reports what was seen.
pub(super) async fn look(context: Context, due: Vec<Due>) {
    let mut left = due.into_iter();
    let mut looks = JoinSet::new();
    for one in left.by_ref().take(AT_ONCE) {
        looks.spawn(look_at(context.clone(), one));
    }
    let mut seen = Vec::new();
    while let Some(one) = looks.join_next().await {
        match one {
            Ok(one) => seen.push(one),
            // It is looked at again in the next round, and counts as silent until then.
            Err(error) => tracing::error!(%error, "a look at a session panicked"),
        }
        if let Some(next) = left.next() {
            looks.spawn(look_at(context.clone(), next));
        }
    }
    if let Err(error) = context.step("session.seen", move |txn| liveness::seen(txn, &seen)).await
        && error.code() != "store_closed"
    {
        tracing::warn!(error = %error.chain(), "what was seen of sessions could not be recorded; they are looked at again");
    }
}

async fn look_at(context: Context, due: Due) -> Seen {
    let Due { session, epoch, within } = due;
    let sign = match tokio::time::timeout(within, sign(&context, &session)).await {
        Ok(sign) => sign,
        Err(_) => Sign::Silent { why: format!("the runtime does not answer within {} s", within.as_secs_f32()) },
    };
    if let Sign::Silent { why } = &sign {
        tracing::warn!(%session, why, "nobody can say whether a session lives");
    }
    Seen { session, epoch, sign }
}

async fn sign(context: &Context, session: &SessionId) -> Sign {
    match context.outside.runtime.inspect(session).await {
        Ok(status) => match status.state {
            SessionState::Starting | SessionState::Running => {
                // What was dropped of the output was shown; what is kept besides it are events.
                Sign::Alive {
                    bytes: status.output_dropped_bytes.saturating_add(status.kept_bytes).max(status.output_bytes),
                }
            }
            SessionState::Exited(_) | SessionState::Absent => Sign::Over,
        },
        Err(error) => Sign::Silent { why: error.chain() },
    }
}
