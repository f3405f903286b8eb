//! Whether what ended sessions left is still there.

use std::fs;
use std::io;
use std::path::Path;

use super::folder::Folder;
use super::output;
use crate::model::{Error, Result, SessionId};
use crate::runtime::{DamagedOutput, ExitOutcome};

/// Looks at every session in the runtime's folder that has ended. Blocks.
pub(super) fn check_output(dir: &Path) -> Result<Vec<DamagedOutput>> {
    let failed =
        |error| Error::unavailable("runtime_folder_failed", format!("cannot list {}", dir.display())).because(error);
    let mut damaged = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(session) = name.to_str().and_then(|name| SessionId::new(name).ok()) else { continue };
        let folder = Folder::new(dir.join(session.as_str()));
        match flaw(&folder) {
            Ok(None) => {}
            Ok(Some(problem)) => {
                let error = Error::corrupt("output_incomplete", problem).with("path", folder.path().display());
                damaged.push(DamagedOutput { session, error });
            }
            // Forgotten while we looked.
            Err(_) if !folder.exists() => {}
            Err(error) => damaged.push(DamagedOutput { session, error }),
        }
    }
    damaged.sort_by(|a, b| a.session.cmp(&b.session));
    Ok(damaged)
}

/// What is wrong with a session's segments; nothing can be said of one that still runs, or of which nobody saw the end.
fn flaw(folder: &Folder) -> Result<Option<String>> {
    let Some(exit) = folder.exit()? else { return Ok(None) };
    // Of a session that ran when it was copied, the copy has what its writer had not dropped by then.
    if exit.outcome == ExitOutcome::Lost {
        return Ok(None);
    }
    let plan = folder.plan()?;
    let unread = |error: io::Error| {
        Error::unavailable("session_folder_failed", format!("cannot read the output in {}", folder.path().display()))
            .because(error)
    };
    let found = output::kept(&folder.output(), plan.output_bytes_max, plan.segment_bytes).map_err(unread)?;
    let wanted = exit.output_bytes.saturating_sub(exit.output_dropped_bytes);
    if let Some(problem) = found.gap {
        return Ok(Some(format!("of its output, {problem}")));
    }
    if found.bytes != wanted {
        return Ok(Some(format!("its output has {} bytes, and {wanted} were kept when it ended", found.bytes)));
    }
    if plan.events_bytes_max == 0 {
        return Ok(None);
    }
    let segment = output::segment_bytes(plan.events_bytes_max);
    let found = output::kept(&folder.events(), plan.events_bytes_max, segment).map_err(unread)?;
    Ok(found.gap.map(|problem| format!("of its events, {problem}")))
}
