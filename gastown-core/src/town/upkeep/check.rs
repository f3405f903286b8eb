//! A look over the whole town: the database, every row, the journal and its archives, what sessions printed.

use std::collections::BTreeMap;

use super::{Checked, Finding, archive, of_whole_town};
use crate::model::value::Value;
use crate::model::{Error, ErrorKind, Event, Result, RowKind, Scope};
use crate::store::{Position, Reader, Scan, index};
use crate::town::handle::Handle;
use crate::town::operation::Operation;
use crate::town::replay;
use crate::work::view::View;
use crate::work::{All, miscount};

/// The most findings of one sort.
const FINDINGS_MAX: usize = 100;

/// Looks over everything while the town works on; it may take as long as reading all of it.
pub(in crate::town) async fn check(handle: &Handle, _: &'static Operation, _: All) -> Result<Checked> {
    of_whole_town(handle)?;
    let (store, now, dir) = (&handle.town().shared.store, handle.town().ctx().now, handle.town().dir().to_owned());
    // Where something is too damaged to be read, that is a finding and not the end.
    let damage = match store.check().await {
        Err(error) if is_damage(&error) => vec![error.to_string()],
        answer => answer?,
    };
    let mut checked = store
        .read_aside(move |reader| {
            let mut checked = rows(reader)?;
            let mut found = |subject: String, problem: String| checked.findings.push(Finding { subject, problem });
            let mut put_away = BTreeMap::new();
            match replay::replay(reader, &dir, &mut |event| count_put_away(event, &mut put_away)) {
                Ok(replay) => {
                    checked.events = replay.events;
                    for key in replay.differences {
                        found(key, "is not as the journal says".to_owned());
                    }
                }
                Err(error) if is_damage(&error) => found("journal".to_owned(), error.to_string()),
                Err(error) => return Err(error),
            }
            match miscount::miscounted(View::new(reader, &Scope::Town, now), FINDINGS_MAX) {
                Ok(beads) => {
                    for miscount in beads {
                        found(format!("bead {}", miscount.bead), miscount.problem);
                    }
                }
                Err(error) if is_damage(&error) => found("bead".to_owned(), error.to_string()),
                Err(error) => return Err(error),
            }
            match archive::damaged(&dir, archive::Which::Beads) {
                Ok(files) => files.into_iter().for_each(|finding| found(finding.subject, finding.problem)),
                Err(error) => found("archive".to_owned(), error.chain()),
            }
            match archive::missing(&dir, put_away) {
                Ok(files) => files.into_iter().for_each(|finding| found(finding.subject, finding.problem)),
                Err(error) => found("archive".to_owned(), error.chain()),
            }
            Ok(checked)
        })
        .await?;
    #[cfg(all(feature = "git", feature = "process"))]
    checked.findings.extend(handle.town().runtime().check_output().await?.into_iter().map(Finding::from));
    let damage = damage.into_iter().map(|problem| Finding { subject: "database".to_owned(), problem });
    checked.findings.splice(..0, damage);
    Ok(checked)
}

/// Counts what a journal entry says was put away into which file.
fn count_put_away(event: &Event, files: &mut BTreeMap<String, u64>) {
    let count = match event.kind.as_str() {
        "bead.archived" => Some(1),
        "effects.archived" => event.data["count"].as_u64(),
        _ => None,
    };
    if let (Some(count), Some(file)) = (count, event.data["file"].as_str()) {
        *files.entry(file.to_owned()).or_default() += count;
    }
}

/// Whether an error says what is wrong with the town, and not that it could not be looked at.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Unsupported)
        || error.code() == "not_a_file"
}

/// Reads every row.
fn rows(reader: &dyn Reader) -> Result<Checked> {
    let mut checked = Checked::default();
    for &kind in RowKind::ALL {
        let mut scan = Scan::new(index::of_key(kind), vec![], 500);
        let mut is_whole = false;
        loop {
            let rows = match reader.scan(&scan) {
                Ok(rows) => rows,
                Err(error) if !is_damage(&error) => return Err(error),
                Err(error) => {
                    checked.findings.push(Finding { subject: kind.table().to_owned(), problem: error.to_string() });
                    break;
                }
            };
            is_whole = true;
            checked.rows += rows.len() as u64;
            match rows.last() {
                Some(last) if rows.len() == scan.limit => scan.after = Some(Position::of(scan.index, last)),
                _ => break,
            }
        }
        // An index that is gone stops only those scans that need it.
        let others = index::INDEXES.iter().filter(|index| index.kind == kind && is_whole && !index.is_key());
        for index in others {
            match reader.scan(&Scan::new(index, vec![Value::Null; index.prefix.len()], 1)) {
                Ok(_) => {}
                Err(error) if !is_damage(&error) => return Err(error),
                Err(error) => {
                    let subject = format!("index {}", index.name.to_lowercase());
                    checked.findings.push(Finding { subject, problem: error.to_string() });
                }
            }
        }
        let unreadable = reader.unreadable().into_iter();
        checked
            .findings
            .extend(unreadable.map(|row| Finding { subject: row.key.to_string(), problem: row.error.chain() }));
    }
    Ok(checked)
}
