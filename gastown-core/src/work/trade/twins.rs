//! Two beads that were made apart and have one id.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value as Json, json};

use super::export::left_of;
use super::import::{Batch, Grave, Incoming};
use super::report::ImportReport;
use super::rows::{self, Rows};
use super::{LINE, line, read};
use crate::interchange::{Dialect, Issue, MOVED_TO, Made, Record, TRIES, moved_to, rename, shared_id, twin_id};
use crate::model::{BeadId, BeadRow, Error, Key, Result, Timestamp, TombstoneRow};
use crate::store::{Scan, index};
use crate::work::archived;
use crate::work::beads;
use crate::work::txn::ScopedTxn;
use crate::work::view::View;

/// The most renames in a row that are followed.
pub(super) const MOVES_MAX: usize = 32;

/// What the ids of a file are called here, where that is something else: their beads are others than those that have these ids
/// here, or were given another id here or there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    here: HashMap<BeadId, (Made, BeadId)>,
    /// Hashes of ids that mean the same here, whoever else has them in the file.
    own: HashSet<u64>,
}

impl Names {
    /// Whether there is anything here that could be called otherwise than in a file.
    pub(crate) fn are_asked(view: View<'_>) -> Result<bool> {
        let beads: Vec<BeadRow> = view.scan(Scan::new(&index::BEADS, vec![], 1))?;
        let left: Vec<TombstoneRow> = view.scan(Scan::new(&index::TOMBSTONES, vec![], 1))?;
        Ok(!beads.is_empty() || !left.is_empty() || archived::is_any(view)?)
    }

    /// Learns what the ids of further records are called here.
    pub(crate) fn learn(&mut self, view: View<'_>, batch: &Batch) -> Result<()> {
        for record in &batch.records {
            let (id, made, there) = match record {
                Incoming::Issue(rows) => (&rows.bead.id, made_of(&rows.bead), None),
                Incoming::Grave(grave) => match &grave.moved_to {
                    Some(to) => (&grave.id, grave.made, Some(to)),
                    None => continue,
                },
                Incoming::Foreign(_) => continue,
            };
            let found = match place(view, id, &made)? {
                Place::Here(found) => found,
                Place::New(found) if there.is_none() => found,
                Place::New(_) | Place::None => continue,
            };
            // What has another id there is asked for by that one.
            let id = there.unwrap_or(id);
            if there.is_some() {
                let is_there_as_well = matches!(place(view, id, &made)?, Place::Here(_));
                let lives = view.find::<BeadRow>(&Key::bead(&found))?.is_some_and(|bead| made_of(&bead).at == made.at);
                if is_there_as_well || !lives {
                    continue;
                }
            }
            if found == *id {
                self.own.insert(hash(id));
            } else if there.is_some() {
                self.here.insert(id.clone(), (made, found));
            } else {
                self.here.entry(id.clone()).or_insert((made, found));
            }
        }
        Ok(())
    }

    /// What an id of the file is called here, where that is something else.
    fn here(&self, id: &BeadId) -> Option<&BeadId> {
        self.here.get(id).filter(|_| !self.own.contains(&hash(id))).map(|(_, here)| here)
    }

    /// The id that a bead of the file is known by here for other reasons than its own one.
    fn of(&self, id: &BeadId, made: &Made) -> Option<&BeadId> {
        self.here.get(id).filter(|(known, _)| known.at == made.at && made.at.is_some()).map(|(_, here)| here)
    }

    pub(super) fn know(&self, id: &BeadId, made: &Made) -> bool {
        self.of(id, made).is_some()
    }

    /// The records with ids that mean here what theirs mean in the file.
    pub(super) fn translated<'a>(&self, batch: &'a Batch) -> Result<Cow<'a, [Incoming]>> {
        let is_other = |rows: &Rows| rows.edges.iter().any(|edge| self.here(&edge.on_bead).is_some());
        let needs = |record: &Incoming| matches!(record, Incoming::Issue(rows) if is_other(rows));
        if self.here.is_empty() || !batch.records.iter().any(needs) {
            return Ok(Cow::Borrowed(&batch.records));
        }
        let mut records = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            records.push(match record {
                Incoming::Issue(rows) if is_other(rows) => Incoming::Issue(Box::new(self.meant(rows)?)),
                other => other.clone(),
            });
        }
        Ok(Cow::Owned(records))
    }

    fn meant(&self, rows: &Rows) -> Result<Rows> {
        let mut issue = rows.issue();
        let here = |id: &str| self.here(&BeadId::new(id).ok()?).map(BeadId::to_string);
        for edge in &mut issue.dependencies {
            if let Some(to) = here(&edge.depends_on_id) {
                edge.depends_on_id = to;
            }
        }
        for field in [&mut issue.parent, &mut issue.replies_to, &mut issue.superseded_by, &mut issue.duplicate_of] {
            if let Some(to) = here(field) {
                *field = to;
            }
        }
        again(&issue)
    }
}

fn hash(id: &BeadId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// The rows of a record under the id that its bead has here: where its own is another bead's, the one that its twins are kept
/// under. None where there is none.
pub(super) fn told_apart<'a>(
    txn: &ScopedTxn<'_>,
    rows: &'a Rows,
    names: &Names,
    report: &mut ImportReport,
) -> Result<Option<Cow<'a, Rows>>> {
    let id = &rows.bead.id;
    Ok(match find(txn, id, &made_of(&rows.bead), names, report)? {
        Some(here) if here == *id => Some(Cow::Borrowed(rows)),
        Some(here) => Some(Cow::Owned(under(rows, &here)?)),
        None => None,
    })
}

/// The same for what is left of a deleted bead: it is of that bead and of no other that has its id.
pub(super) fn left_apart<'a>(
    txn: &ScopedTxn<'_>,
    grave: &'a Grave,
    names: &Names,
    report: &mut ImportReport,
) -> Result<Option<Cow<'a, Grave>>> {
    let id = &grave.id;
    Ok(match find(txn, id, &grave.made, names, report)? {
        Some(here) if here == *id => Some(Cow::Borrowed(grave)),
        Some(here) => {
            let line = match read(&grave.line)? {
                Some(Record::Tombstone(mut issue)) => {
                    rename(&mut issue, here.as_str());
                    line(&Record::Tombstone(issue), Dialect::Native)?
                }
                _ => grave.line.clone(),
            };
            Some(Cow::Owned(Grave { id: here, line, ..grave.clone() }))
        }
        None => None,
    })
}

fn find(
    txn: &ScopedTxn<'_>,
    id: &BeadId,
    made: &Made,
    names: &Names,
    report: &mut ImportReport,
) -> Result<Option<BeadId>> {
    if let Some(here) = names.of(id, made)
        && let Place::Here(here) = place(txn.view(), here, made)?
    {
        return Ok(Some(here));
    }
    Ok(match place(txn.view(), id, made)? {
        Place::Here(here) => Some(here),
        Place::New(new) => {
            if new != *id {
                report.kept_both(id, new.clone());
            }
            Some(new)
        }
        Place::None => {
            report.conflict(id, "id_shared", false);
            None
        }
    })
}

/// The id that a bead of the file has here, or gets.
pub(super) fn known_as(view: View<'_>, id: &BeadId, made: &Made, names: &Names) -> Result<BeadId> {
    if let Some(here) = names.of(id, made) {
        return Ok(here.clone());
    }
    Ok(match place(view, id, made)? {
        Place::Here(here) => here,
        Place::New(_) | Place::None => id.clone(),
    })
}

/// Whether a record has the id of a twin, so that its bead may be here under the one that it shares.
pub(super) fn is_twin(id: &BeadId, made: &Made) -> bool {
    made.at.is_some_and(|at| shared_id(id.as_str(), at).is_some())
}

pub(super) fn made_of(bead: &BeadRow) -> Made {
    Made::new(Some(bead.created_at).filter(|at| *at != Timestamp::default()), &bead.title)
}

/// What is kept of a tombstone: its line, and which id its bead has by now.
pub(super) fn remains(line: &str, issue: Option<&Issue>) -> Json {
    match issue.and_then(moved_to) {
        Some(to) => json!({ LINE: line, MOVED_TO: to }),
        None => json!({ LINE: line }),
    }
}

/// Has what is left of a bead make room for another that gets its id: it tells of its own one under the id of a twin.
pub(crate) fn make_room(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let Some(left) = txn.find::<TombstoneRow>(&Key::tombstone(id))? else { return Ok(()) };
    txn.delete(&Key::tombstone(id))?;
    let mut issue = left_of(&left)?;
    let Some(at) = Made::of(&issue).at else { return Ok(()) };
    let twin = BeadId::new(twin_id(id.as_str(), at, 0))?;
    if txn.is_taken(&Key::bead(&twin))? || txn.is_taken(&Key::tombstone(&twin))? {
        return Ok(());
    }
    rename(&mut issue, twin.as_str());
    let said = line(&Record::Tombstone(Box::new(issue.clone())), Dialect::Native)?;
    txn.put(TombstoneRow { id: twin, record: Some(remains(&said, Some(&issue))), ..left })
}

/// What is here under an id.
#[derive(PartialEq)]
enum Here {
    Nothing,
    /// The bead that is asked for, what is left of it, or that it is in an archive.
    It(Option<Timestamp>),
    /// It is known, and has another id.
    Moved(BeadId),
    Another,
}

fn here(view: View<'_>, id: &BeadId, made: &Made) -> Result<Here> {
    let found = match view.find::<BeadRow>(&Key::bead(id))? {
        Some(bead) => made_of(&bead),
        None => match view.find::<TombstoneRow>(&Key::tombstone(id))? {
            Some(left) => {
                let found = Made::of(&left_of(&left)?);
                if !found.is_another(made)
                    && let Some(to) = moved(view, &left, &found)?
                {
                    return Ok(Here::Moved(to));
                }
                found
            }
            None => match archived::find(view, id)? {
                Some(away) => away.made(),
                None => return Ok(Here::Nothing),
            },
        },
    };
    Ok(if found.is_another(made) { Here::Another } else { Here::It(found.at) })
}

/// The id that a bead has by now of which a tombstone says that it moved.
fn moved(view: View<'_>, left: &TombstoneRow, made: &Made) -> Result<Option<BeadId>> {
    let mut to = beads::moved_to(left).map(BeadId::new).transpose()?;
    for _ in 0..MOVES_MAX {
        let Some(id) = &to else { break };
        if let Some(bead) = view.find::<BeadRow>(&Key::bead(id))? {
            return Ok(to.filter(|_| made_of(&bead).at == made.at));
        }
        let left = view.find::<TombstoneRow>(&Key::tombstone(id))?;
        to = left.as_ref().and_then(beads::moved_to).map(BeadId::new).transpose()?;
    }
    Ok(None)
}

/// Where a bead is, or goes, that came by an id.
enum Place {
    Here(BeadId),
    New(BeadId),
    /// All ids that it could have are others'.
    None,
}

fn place(view: View<'_>, id: &BeadId, made: &Made) -> Result<Place> {
    let found = here(view, id, made)?;
    match found {
        Here::It(_) => return Ok(Place::Here(id.clone())),
        Here::Moved(to) => return Ok(Place::Here(to)),
        Here::Nothing | Here::Another => {}
    }
    // Where it comes from it is the second of its id; here it may be the first.
    if let Some(shared) = made.at.and_then(|at| shared_id(id.as_str(), at)).and_then(|shared| BeadId::new(shared).ok())
    {
        match here(view, &shared, made)? {
            Here::It(at) if at == made.at => return Ok(Place::Here(shared)),
            Here::Moved(to) => return Ok(Place::Here(to)),
            _ => {}
        }
    }
    let Some(at) = made.at else { return Ok(Place::New(id.clone())) };
    let is_free = found == Here::Nothing;
    for nth in 0..TRIES {
        let twin = BeadId::new(twin_id(id.as_str(), at, nth))?;
        match here(view, &twin, made)? {
            Here::It(_) => return Ok(Place::Here(twin)),
            Here::Moved(to) => return Ok(Place::Here(to)),
            Here::Nothing if is_free => return Ok(Place::New(id.clone())),
            Here::Nothing => return Ok(Place::New(twin)),
            Here::Another => {}
        }
    }
    Ok(if is_free { Place::New(id.clone()) } else { Place::None })
}

/// The rows of a record under another id.
fn under(rows: &Rows, id: &BeadId) -> Result<Rows> {
    let mut issue = rows.issue();
    rename(&mut issue, id.as_str());
    again(&issue)
}

/// The rows of an issue that was made of others that were beads.
pub(super) fn again(issue: &Issue) -> Result<Rows> {
    rows::rows(issue).map_err(|refusal| {
        Error::internal("bead_refused", format!("what was a bead is none any more: {}", refusal.message))
    })
}
