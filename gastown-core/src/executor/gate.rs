//! The gate: a program run on the exact merge commit.

use std::collections::BTreeMap;

use super::context::Context;
use super::perform::is_here;
use crate::failpoint;
use crate::model::{BeadId, Oid, Result, RigName, SessionId};
use crate::runtime::{ExitOutcome, SessionSpec};
use crate::work::effects::{Done, Report};
use crate::work::settings;

/// How much of a failed gate's output goes back to the agent, in bytes.
const TAIL_BYTES: usize = 8 * 1024;

/// Runs the rig's gate in a scratch tree of the commit.
///
/// It runs as a session of the runtime under a name made of the commit, so that a repeat after a crash finds the run
/// that is there and does not start another.
pub(super) async fn run(context: &Context, review: &BeadId, rig: &RigName, commit: &Oid) -> Result<Report> {
    let name = rig.clone();
    let (command, timeout, grace) = context
        .read(move |view| {
            Ok((
                settings::resolve::<Option<Vec<String>>>(view, Some(&name), "gate.command")?,
                settings::duration(view, Some(&name), "gate.timeout_ms")?,
                settings::duration(view, Some(&name), "session.grace_ms")?,
            ))
        })
        .await?;
    // The setting was taken away since: there is nothing to pass.
    let Some(command) = command else { return Ok(Report::Done(Done::GatePassed)) };
    let repository = context.repository(rig).await?;
    if !is_here(repository.as_ref(), commit).await? {
        return Ok(Report::Done(Done::Unbuilt));
    }
    let id = SessionId::new(format!("gate-{review}-{}", commit.short()))?;
    let tree = context.outside.gates.join(id.as_str());
    repository.checkout_scratch(commit, &tree).await?;
    let mut spec = SessionSpec::new(id.clone(), command, &tree);
    spec.env = BTreeMap::from([
        ("GASTOWN_GATE".to_owned(), review.to_string()),
        ("GASTOWN_RIG".to_owned(), rig.to_string()),
        ("GASTOWN_COMMIT".to_owned(), commit.to_string()),
    ]);
    spec.timeout = Some(timeout);
    spec.grace = grace;
    let runtime = &context.outside.runtime;
    runtime.start(&spec).await?;
    let record = runtime.wait(&id).await?;
    let report = match &record.outcome {
        ExitOutcome::Exited { code: 0 } => {
            failpoint::pass("gate.passed");
            Report::Done(Done::GatePassed)
        }
        ExitOutcome::Exited { .. } | ExitOutcome::Signalled { .. } | ExitOutcome::TimedOut => {
            let from = record.output_bytes.saturating_sub(TAIL_BYTES as u64);
            let tail = runtime.output(&id, from, TAIL_BYTES).await?;
            Report::Done(Done::GateFailed {
                how: record.outcome.to_string(),
                output: String::from_utf8_lossy(&tail.bytes).into_owned(),
            })
        }
        // The machine's fault and not the change's.
        other => Report::Retry { reason: format!("the gate {other}") },
    };
    repository.remove_workspace(&tree).await?;
    runtime.forget(&id).await?;
    Ok(report)
}
