//! What the town and a folder agreed on when they last met.

use std::path::Path;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::interchange::Essence;
use crate::model::event::hex;
use crate::model::{Error, ForeignRow, Key, Result, RigName};
use crate::store::{Position, Scan, index};
use crate::work::txn::ScopedTxn;
use crate::work::view::{View, text};

/// What the sources of these rows begin with; no file is called so.
const SOURCE: &str = "gt:sync/";
/// What the sources end with of what a file was not told yet.
const UNTOLD: &str = "/untold";
/// The name of the row that counts the changes of the others; no bead is called so.
const HEAD: &str = "@";

/// Whether a record is ours and not another tool's.
pub(crate) fn is_own(row: &ForeignRow) -> bool {
    row.source.starts_with(SOURCE)
}

/// The agreement of one rig, or the whole town, with one file.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    source: String,
    path: String,
    rig: Option<RigName>,
}

/// What both said of one issue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Agreed {
    /// Its line in the file.
    pub(crate) line: String,
    /// What it says.
    pub(crate) said: Essence,
    /// Whether it has its id there because the bead cannot do without it here.
    pub(crate) kept: bool,
}

impl Basis {
    pub(crate) fn new(path: &Path, rig: Option<&RigName>) -> Self {
        let path = path.display().to_string();
        let mut hash = Sha256::new();
        hash.update(rig.map_or("", RigName::as_str));
        hash.update([0]);
        hash.update(&path);
        Self { source: format!("{SOURCE}{}", &hex(&hash.finalize())[..32]), path, rig: rig.cloned() }
    }

    /// All agreements of the town.
    pub(crate) fn all(view: View<'_>) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let mut after = SOURCE.to_owned();
        loop {
            let before = Position(vec![text(&after), text("")]);
            let scan = Scan::new(&index::FOREIGN_RECORDS, vec![], 1).after(Some(before));
            let next: Vec<ForeignRow> = view.scan(scan)?;
            let Some(row) = next.into_iter().next().filter(is_own) else { return Ok(found) };
            let source = row.source.trim_end_matches(UNTOLD).to_owned();
            if let Some(head) = view.find::<ForeignRow>(&Key::foreign(&source, HEAD))? {
                let path = head.data["path"].as_str().unwrap_or_default().to_owned();
                let rig = head.data["rig"].as_str().map(RigName::new).transpose()?;
                found.push(Self { source: source.clone(), path, rig });
            }
            // Past all that belongs to this one, and before any other.
            after = format!("{source}0");
        }
    }

    /// The rig whose beads go to the file; none where all do.
    pub(super) fn rig(&self) -> Option<&RigName> {
        self.rig.as_ref()
    }

    /// The source of what the file was not told yet.
    pub(super) fn untold(&self) -> String {
        format!("{}{UNTOLD}", self.source)
    }

    /// How often it was changed.
    pub(crate) fn version(&self, view: View<'_>) -> Result<u64> {
        let head: Option<ForeignRow> = view.find(&Key::foreign(&self.source, HEAD))?;
        Ok(head.and_then(|head| head.data.get("version")?.as_u64()).unwrap_or(0))
    }

    /// What both said of one issue.
    pub(crate) fn find(&self, view: View<'_>, id: &str) -> Result<Option<Agreed>> {
        view.find::<ForeignRow>(&Key::foreign(&self.source, id))?.map(|row| agreed(&row)).transpose()
    }

    /// Shows everything both agreed on, by id.
    pub(crate) fn walk(&self, view: View<'_>, mut visit: impl FnMut(String, Agreed)) -> Result<()> {
        let before = Position(vec![text(&self.source), text("")]);
        let scan = Scan::new(&index::FOREIGN_RECORDS, vec![], 0).after(Some(before));
        view.walk::<ForeignRow>(scan, |row| {
            if row.source != self.source {
                return Ok(false);
            }
            if row.name != HEAD {
                let agreed = agreed(&row)?;
                visit(row.name, agreed);
            }
            Ok(true)
        })
    }

    /// Writes what both agree on by now, unless somebody else did meanwhile; answers whether it was written.
    pub(crate) fn keep(
        &self,
        txn: &mut ScopedTxn<'_>,
        version: u64,
        changes: &[(String, Option<Agreed>)],
    ) -> Result<bool> {
        if self.version(txn.view())? != version {
            return Ok(false);
        }
        for (id, agreed) in changes {
            txn.delete(&Key::foreign(&self.untold(), id))?;
            match agreed {
                None => txn.delete(&Key::foreign(&self.source, id))?,
                Some(agreed) => {
                    let (source, data) = (self.source.clone(), agreed.to_json());
                    txn.put(ForeignRow { source, name: id.clone(), data })?;
                }
            }
        }
        txn.put(ForeignRow {
            source: self.source.clone(),
            name: HEAD.to_owned(),
            data: json!({ "version": version + 1, "path": self.path, "rig": self.rig }),
        })?;
        txn.event("beads.synced", "town", json!({ "path": self.path, "agreed": changes.len() }));
        Ok(true)
    }
}

impl Agreed {
    fn to_json(&self) -> Json {
        let mut data = json!({ "line": self.line, "said": self.said.to_string() });
        if self.kept {
            data["kept"] = true.into();
        }
        data
    }
}

fn agreed(row: &ForeignRow) -> Result<Agreed> {
    let said = |key: &str| row.data.get(key)?.as_str();
    let found = said("line").zip(said("said").and_then(Essence::parse));
    let (line, said) = found.ok_or_else(|| {
        Error::corrupt("basis_unreadable", format!("what was agreed on {} cannot be read", row.name))
            .with("source", &row.source)
            .with("bead", &row.name)
    })?;
    let kept = row.data.get("kept").and_then(Json::as_bool).unwrap_or(false);
    Ok(Agreed { line: line.to_owned(), said, kept })
}
