//! Files of issues that grew apart, brought together without a town.

use std::path::Path;

use super::durable;
use crate::interchange::merge_files;
use crate::model::{Error, Result};
use crate::town::paths;
use crate::work::{BeadsMerged, MergeBeads};

/// Brings two files of issues together that grew out of a third, field by field; no town is needed.
///
/// The rules are those of [`merge3`](crate::interchange::merge3). Lines that need no change stay byte for byte, and lines that
/// cannot be read stay as they are. The outcome takes the place of `ours`, or of `output`, at once and durably. It reads and
/// writes files, so call it where that may take its time.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let file = |name: &str, text: &str| { let path = dir.path().join(name); std::fs::write(&path, text).unwrap(); path };
/// use gastown_core::{MergeBeads, merge_beads};
/// let base = file("base", "{\"id\":\"gt-1\",\"title\":\"pump\",\"priority\":2}\n");
/// let ours = file("ours", "{\"id\":\"gt-1\",\"title\":\"the pump\",\"priority\":2}\n");
/// let theirs = file("theirs", "{\"id\":\"gt-1\",\"title\":\"pump\",\"priority\":0}\n");
/// let merged = merge_beads(&MergeBeads::new(base, &ours, theirs)).unwrap();
/// assert_eq!((merged.issues, merged.choices), (1, 0));
/// assert_eq!(std::fs::read_to_string(ours).unwrap(), "{\"id\":\"gt-1\",\"title\":\"the pump\",\"priority\":0}\n");
/// ```
///
/// # Errors
/// `path_missing`, `file_unreadable`, `merge_conflicted` with the number of choices and flaws where it is to be strict, and what
/// keeps a file from being written.
pub fn merge_beads(input: &MergeBeads) -> Result<BeadsMerged> {
    let read = |path: &Path| -> Result<Vec<u8>> { read(&paths::absolute(path)?) };
    let merge = merge_files(read(&input.base)?, read(&input.ours)?, read(&input.theirs)?)?;
    let merged = BeadsMerged::from(&merge);
    if input.strict && merged.choices + merged.flaws > 0 {
        let said = format!("the merge makes {} choices and leaves {} lines unread", merged.choices, merged.flaws);
        let error = Error::conflict("merge_conflicted", said).with("choices", merged.choices);
        let first = merged.chosen.first().map(ToString::to_string).unwrap_or_default();
        return Err(error.with("flaws", merged.flaws).with("first", first));
    }
    let output = paths::absolute(input.output.as_deref().unwrap_or(&input.ours))?;
    // A link stays one.
    let output = output.canonicalize().unwrap_or(output);
    durable::replace_if(&output, &merge.text, || Ok(true))?;
    Ok(merged)
}

/// Reads a whole file that must be there.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(paths::irregular(path));
    }
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::not_found("path_missing", format!("{} is not there", path.display()))
            .with("path", path.display())
            .because(source),
        _ => paths::unreadable(path, source),
    })
}
