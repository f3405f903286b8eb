//! What the archives of beads hold, and its way back.

use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::archive::{bead_files, name_of};
use super::durable;
use super::{blocking, of_whole_town};
use crate::model::{BeadId, BeadKind, BeadRow, DependencyRow, Key, Result, Row, Stored as _};
use crate::store::dump;
use crate::town::handle::Handle;
use crate::town::operation::Operation;
use crate::work::ready::{check_limit, decode_position, encode_position};
use crate::work::recall::{self, Put, Recall};
use crate::work::{ArchivedBead, Bead, BeadRef};

/// Which archived beads to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchivedFilter {
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// Archived beads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArchivedPage {
    /// Issues and convoys, archive by archive. There may be fewer than asked for although there are more: see `cursor`.
    pub beads: Vec<ArchivedBead>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

const ORDER: &str = "archived";

/// Lists the beads in this host's archives, as far as they are not in the tables (again).
///
/// Each page reads the archives that it tells of from their beginnings.
pub(in crate::town) async fn archived(
    handle: &Handle,
    _: &'static Operation,
    input: ArchivedFilter,
) -> Result<ArchivedPage> {
    of_whole_town(handle)?;
    let limit = check_limit(input.limit)?;
    let after = match input.cursor.as_deref() {
        None => None,
        Some(cursor) => Some(place(decode_position(ORDER, "tt", cursor)?.0)),
    };
    let dir = handle.town().dir().to_owned();
    let mut page = blocking(move || read_page(&dir, limit, after.as_ref())).await?;
    let ids: Vec<BeadId> = page.beads.iter().map(|bead| bead.id.clone()).collect();
    let is_there = move |reader: &dyn crate::store::Reader| {
        ids.iter().map(|id| Ok(reader.values(&Key::bead(id))?.is_some())).collect::<Result<Vec<bool>>>()
    };
    let mut is_there = handle.town().shared.store.read(is_there).await?.into_iter();
    page.beads.retain(|_| !is_there.next().unwrap_or_default());
    Ok(page)
}

/// A file and the last bead that was read of it.
fn place(values: Vec<crate::model::value::Value>) -> (String, String) {
    let mut texts = values.into_iter().map(|value| match value {
        crate::model::value::Value::Text(text) => text,
        _ => String::new(),
    });
    (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
}

fn read_page(dir: &Path, limit: usize, after: Option<&(String, String)>) -> Result<ArchivedPage> {
    let mut page = ArchivedPage::default();
    for path in bead_files(dir)? {
        let file = name_of(&path);
        let mut is_behind = match after {
            Some((at, _)) if file < *at => continue,
            Some((at, _)) => file > *at,
            None => true,
        };
        let mut has_more = false;
        each_row(&path, &mut |row| {
            let Some(bead) = listed(row) else { return Ok(()) };
            if !is_behind {
                is_behind = after.is_some_and(|(_, id)| bead.id.as_str() == id);
            } else if page.beads.len() == limit {
                has_more = true;
            } else {
                page.beads.push(ArchivedBead::new(bead, &file));
            }
            Ok(())
        })?;
        if has_more || page.beads.len() == limit {
            let last = page.beads.last().map(|bead| [bead.file.as_str(), bead.id.as_str()]);
            page.cursor = last.map(|last| encode_position(ORDER, &last.map(crate::work::view::text)));
            break;
        }
    }
    Ok(page)
}

/// Beads that left by themselves; those of merge requests go with their sources.
fn listed(row: &Row) -> Option<&BeadRow> {
    match row {
        Row::Bead(bead) if matches!(bead.kind, BeadKind::Issue | BeadKind::Convoy) => Some(bead),
        _ => None,
    }
}

fn each_row(path: &Path, visit: &mut dyn FnMut(&Row) -> Result<()>) -> Result<()> {
    let file = durable::open_regular(path)?;
    dump::each_row(&mut BufReader::with_capacity(1 << 18, file), visit)
        .map(drop)
        .map_err(|error| error.with("path", path.display()))
}

/// Puts a bead back that was archived here; what was put away later stands where it was more than once.
pub(in crate::town) async fn recall(handle: &Handle, operation: &'static Operation, input: BeadRef) -> Result<Bead> {
    of_whole_town(handle)?;
    let (dir, id) = (handle.town().dir().to_owned(), input.id.clone());
    let put = blocking(move || find(&dir, &id)).await?;
    handle.change(operation, Recall { id: input.id, put }, recall::recall).await
}

fn find(dir: &Path, id: &BeadId) -> Result<Option<Put>> {
    let (mut found, mut version) = (None, i64::MIN);
    let mut edges: Vec<DependencyRow> = Vec::new();
    for path in bead_files(dir)? {
        let mut put = Put { file: name_of(&path), ..Put::default() };
        let (mut is_in, mut its) = (false, i64::MIN);
        each_row(&path, &mut |row| {
            if let Some(bead) = listed(row) {
                is_in = bead.id == *id;
                if is_in {
                    its = bead.version;
                }
            }
            match row {
                // Effects come behind the last bead.
                Row::Effect(_) => {}
                row if is_in => put.rows.push(row.clone()),
                // It left with its other end.
                Row::Dependency(edge) if edge.bead == *id || edge.on_bead == *id => {
                    edges.retain(|known| known.key() != edge.key());
                    edges.push(edge.clone());
                }
                _ => {}
            }
            Ok(())
        })?;
        // Who was put away, recalled and put away again unchanged has lost or gained edges in between.
        if !put.rows.is_empty() && its >= version {
            (found, version) = (Some(put), its);
        }
    }
    Ok(found.map(|put| Put { edges, ..put }))
}
