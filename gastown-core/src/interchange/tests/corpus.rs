//! Real exports, where they are there.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{
    Dialect, Document, Entry, Field, Flat, Issue, Issues, Limits, Reader, Record, Side, SideLimits, collect,
    merge_files, merge3,
};
use super::written;

/// The folder of real exports; without it the tests say so and show nothing.
#[allow(clippy::disallowed_methods, reason = "a test finds its data")]
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("GASTOWN_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("GASTOWN_TEST_DATA is not set: real exports are not read");
    }
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn open(path: &Path) -> Reader<std::io::BufReader<std::fs::File>> {
    Reader::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()), Limits::default())
}

#[test]
fn every_good_line_of_every_real_file_is_written_as_it_was_read() {
    let Some(data) = data() else { return };
    let files = [files(&data.join("jsonl")), files(&data.join("merge3"))].concat();
    assert!(files.len() > 30, "{} files", files.len());
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let (mut good, mut flawed, mut repairs) = (0, Vec::new(), BTreeMap::<&str, usize>::new());
        let mut with_forms = 0;
        for entry in open(&path) {
            match entry.unwrap() {
                Entry::Read(line) => {
                    good += 1;
                    for repair in &line.repairs {
                        *repairs.entry(repair.code).or_default() += 1;
                    }
                    let source = lines[usize::try_from(line.number).unwrap() - 1];
                    let source: Value = serde_json::from_slice(source).unwrap();
                    let text = written(&line.record, Dialect::Native);
                    let again: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(again, source, "{}:{}", path.display(), line.number);
                    assert!(!matches!(line.record, Record::Other(_)), "{source}");
                    if let Record::Issue(issue) | Record::Tombstone(issue) = &line.record {
                        with_forms += usize::from(!issue.forms.is_empty());
                        assert_eq!(stored(issue), **issue, "{}:{}", path.display(), line.number);
                    }
                }
                Entry::Flaw(flaw) => {
                    let line = lines[usize::try_from(flaw.line).unwrap() - 1];
                    assert!(serde_json::from_slice::<Value>(line).is_err(), "{flaw}: the line is good");
                    flawed.push(flaw.code);
                }
            }
        }
        let name = path.strip_prefix(&data).unwrap().display();
        eprintln!("{name}: {good} good, {with_forms} with forms, flaws {flawed:?}, repairs {repairs:?}");
    }
}

/// An issue that went through columns for some fields and a residue for the rest.
fn stored(issue: &Issue) -> Issue {
    let columns = |field: Field| {
        !matches!(
            field,
            Field::SpecId
                | Field::Owner
                | Field::Waiters
                | Field::ContentHash
                | Field::Crystallizes
                | Field::RecordType
        )
    };
    let residue = Value::Object(issue.residue(columns)).to_string();
    let mut stored = issue.clone();
    for time in [&mut stored.created_at, &mut stored.updated_at, &mut stored.closed_at, &mut stored.deleted_at] {
        *time = time.as_ref().map(|time| time.at.into());
    }
    let other_times = [&mut stored.last_activity, &mut stored.due_at, &mut stored.started_at];
    other_times.into_iter().flatten().for_each(|time| time.text = None);
    stored.spec_id.clear();
    stored.owner.clear();
    stored.waiters.clear();
    stored.content_hash.clear();
    stored.crystallizes = false;
    stored.record_type.clear();
    stored.extra.clear();
    stored.forms = super::super::Forms::default();
    stored.restore(serde_json::from_str::<Value>(&residue).unwrap().as_object().unwrap());
    stored
}

#[test]
fn both_sides_of_a_real_conflict_are_read() {
    let Some(data) = data() else { return };
    let mut sides = HashMap::<Option<Side>, usize>::new();
    let mut markers = Vec::new();
    for entry in open(&data.join("jsonl/beads_conflictmarkers_00.jsonl")) {
        match entry.unwrap() {
            Entry::Read(line) => *sides.entry(line.side).or_default() += 1,
            Entry::Flaw(flaw) => markers.push((flaw.line, flaw.code)),
        }
    }
    assert_eq!(markers, [(1, "conflict_marker"), (355, "conflict_marker"), (679, "conflict_marker")]);
    assert_eq!(sides, HashMap::from([(Some(Side::Ours), 353), (Some(Side::Theirs), 323)]));
}

#[test]
fn a_real_flat_export_is_put_together() {
    let Some(data) = data() else { return };
    let folder = data.join("jsonl/flat-export");
    let (mut counts, mut edges, mut labels, mut comments) = (BTreeMap::<&str, usize>::new(), 0, 0, 0);
    for entry in Flat::open(&folder, Limits::default(), SideLimits::default()).unwrap() {
        let (_, Entry::Read(line)) = entry.unwrap() else { panic!("no line is bad") };
        let kind = match &line.record {
            Record::Issue(issue) => {
                edges += issue.dependencies.len();
                labels += issue.labels.len();
                comments += issue.comments.len();
                "issue"
            }
            Record::Edge(_) => "edge",
            Record::Label(_) => "label",
            Record::Comment(_) => "comment",
            Record::Event(_) => "event",
            Record::Setting(_) => "setting",
            other => panic!("{other:?}"),
        };
        *counts.entry(kind).or_default() += 1;
    }
    let rows = |kind: &str| counts.get(kind).copied().unwrap_or(0);
    assert_eq!((rows("issue"), rows("event"), rows("setting")), (677, 3667, 17));
    assert_eq!((edges + rows("edge"), labels + rows("label"), comments + rows("comment")), (315, 169, 14));
    eprintln!("{counts:?}; {edges} edges, {labels} labels, {comments} comments joined");
}

#[test]
fn a_real_merge_loses_nothing_that_one_side_added() {
    let Some(data) = data() else { return };
    for folder in std::fs::read_dir(data.join("merge3")).unwrap() {
        let folder = folder.unwrap().path();
        let [base, ours, theirs] =
            ["base", "ours", "theirs"].map(|name| collect(open(&folder.join(name).with_extension("jsonl"))).unwrap().0);
        let merged = merge3(&base, &ours, &theirs);
        assert_eq!(merged, merge3(&base, &theirs, &ours), "{}", folder.display());
        for (side, other) in [(&ours, &theirs), (&theirs, &ours)] {
            nothing_lost(&base, side, other, &merged.issues, &folder);
            let again = merge3(&base, &merged.issues, side);
            assert_eq!(lines(&again.issues), lines(&merged.issues), "{}: again", folder.display());
        }
        let mut codes = BTreeMap::<&str, usize>::new();
        merged.choices.iter().for_each(|choice| *codes.entry(choice.code).or_default() += 1);
        eprintln!(
            "{}: {} + {} on {} = {}, choices {codes:?}",
            folder.file_name().unwrap().display(),
            ours.len(),
            theirs.len(),
            base.len(),
            merged.issues.len(),
        );
    }
}

#[test]
fn real_files_that_grew_apart_are_merged_as_files_like_their_issues_are() {
    let Some(data) = data() else { return };
    for folder in std::fs::read_dir(data.join("merge3")).unwrap() {
        let folder = folder.unwrap().path();
        let path = |name: &str| folder.join(name).with_extension("jsonl");
        let [base, ours, theirs] = ["base", "ours", "theirs"].map(|name| std::fs::read(path(name)).unwrap());
        let merge = merge_files(base.clone(), ours.clone(), theirs.clone()).unwrap();
        let [of_base, of_ours, of_theirs] =
            ["base", "ours", "theirs"].map(|name| collect(open(&path(name))).unwrap().0);
        let issues = merge3(&of_base, &of_ours, &of_theirs);
        let read = collect(Reader::new(merge.text.as_slice(), Limits::default())).unwrap().0;
        assert_eq!(lines(&read), lines(&issues.issues), "{}", folder.display());
        assert_eq!(merge.choices, issues.choices, "{}", folder.display());
        assert_eq!(merge.issues, read.len() as u64);
        // The other way round it holds the same issues, and once more it changes nothing.
        let turned = merge_files(base.clone(), theirs.clone(), ours.clone()).unwrap();
        assert_eq!(turned.text, merge.text, "{}: the files are sorted", folder.display());
        for side in [&ours, &theirs] {
            let again = merge_files(base.clone(), merge.text.clone(), side.clone()).unwrap();
            assert_eq!(String::from_utf8(again.text).unwrap(), String::from_utf8(merge.text.clone()).unwrap());
        }
        // Lines that neither changed are the bytes they were.
        let kept = |bytes: &[u8]| {
            bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<std::collections::HashSet<_>>()
        };
        let (out, sides) = (kept(&merge.text), kept(&[ours, theirs].concat()));
        let made = out.difference(&sides).count();
        eprintln!("{}: {made} of {} lines are neither side's", folder.file_name().unwrap().display(), out.len());
    }
}

#[test]
fn every_real_file_is_a_document_and_stays_as_it_is() {
    let Some(data) = data() else { return };
    for path in [files(&data.join("jsonl")), files(&data.join("merge3"))].concat() {
        let bytes = std::fs::read(&path).unwrap();
        let mut document = Document::read(bytes.clone()).unwrap();
        let had_markers = document.told().markers > 0;
        document.settle(&Issues::new(), &mut |_| Ok(false)).unwrap();
        let text = document.with(&BTreeMap::new());
        if had_markers {
            let again = Document::read(text.clone()).unwrap();
            assert_eq!((again.told().markers, again.len()), (0, document.len()), "{}", path.display());
        } else if document.dropped().count() == 0 && !document.told().repairs.contains_key("duplicate_id") {
            let ended = bytes.is_empty() || bytes.ends_with(b"\n");
            let whole = if ended { bytes } else { [&bytes[..], b"\n"].concat() };
            assert!(text == whole, "{} is written otherwise than it was read", path.display());
        }
        let known: std::collections::HashSet<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        for id in document.ids() {
            assert!(known.contains(document.line(id).unwrap()), "{}: {id}", path.display());
        }
    }
}

fn lines(issues: &Issues) -> Vec<String> {
    issues.values().map(|issue| written(&Record::Issue(Box::new(issue.clone())), Dialect::Bd)).collect()
}

/// Every issue, edge, label and comment that a side has and the base has not is in the merge.
fn nothing_lost(base: &Issues, side: &Issues, other: &Issues, merged: &Issues, folder: &Path) {
    for (id, issue) in side {
        let before = base.get(id);
        let Some(kept) = merged.get(id) else {
            assert!(before.is_some() && !other.contains_key(id), "{}: {id} is lost", folder.display());
            continue;
        };
        if before.is_none() && kept.created_at != issue.created_at && kept.title != issue.title {
            let found = merged.values().any(|kept| kept.title == issue.title && kept.created_at == issue.created_at);
            assert!(found, "{}: {id} is lost", folder.display());
            continue;
        }
        for edge in &issue.dependencies {
            let has = |issue: &Issue| {
                issue
                    .dependencies
                    .iter()
                    .any(|one| (&one.depends_on_id, &one.kind) == (&edge.depends_on_id, &edge.kind))
            };
            assert!(has(kept) || before.is_some_and(has), "{}: {id} lost an edge", folder.display());
        }
        for comment in &issue.comments {
            let has = |issue: &Issue| {
                issue.comments.iter().any(|one| one.text == comment.text && one.author == comment.author)
            };
            assert!(has(kept) || before.is_some_and(has), "{}: {id} lost a comment", folder.display());
        }
        for label in &issue.labels {
            let has = |issue: &Issue| issue.labels.contains(label);
            assert!(has(kept) || before.is_some_and(has), "{}: {id} lost a label", folder.display());
        }
    }
}

#[test]
#[ignore = "measures; run it alone in a release build"]
#[allow(clippy::disallowed_methods, clippy::cast_precision_loss, reason = "a measurement")]
fn how_fast_lines_are_read_and_written() {
    let Some(data) = data() else { return };
    for name in ["gastown_issues_2026-01-06", "br_issues_max", "flat-export/issues", "beads_issues_max"] {
        let bytes = std::fs::read(data.join("jsonl").join(name).with_extension("jsonl")).unwrap();
        let rounds = (200_000_000 / bytes.len()).max(1);
        let mut issues = Vec::new();
        let begun = std::time::Instant::now();
        for _ in 0..rounds {
            issues.clear();
            for entry in Reader::new(bytes.as_slice(), Limits::default()) {
                if let Ok(Entry::Read(line)) = entry {
                    issues.push(line.record);
                }
            }
        }
        let lines = (issues.len() * rounds) as f64;
        let read = begun.elapsed().as_secs_f64();
        let begun = std::time::Instant::now();
        let mut length = 0;
        for _ in 0..rounds {
            for line in bytes.split(|byte| *byte == b'\n') {
                length += serde_json::from_slice::<Value>(line)
                    .map_or(0, |value| value.as_object().map_or(0, serde_json::Map::len));
            }
        }
        let values = begun.elapsed().as_secs_f64();
        let mut wrote = [0.0; 3];
        for (place, dialect) in [Dialect::Native, Dialect::Bd, Dialect::Br].into_iter().enumerate() {
            let begun = std::time::Instant::now();
            for _ in 0..rounds {
                let mut writer = super::super::Writer::new(std::io::sink(), dialect);
                for issue in &issues {
                    writer.record(issue).unwrap();
                }
            }
            wrote[place] = lines / begun.elapsed().as_secs_f64();
        }
        let values_held: Vec<Value> =
            bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let begun = std::time::Instant::now();
        for _ in 0..rounds {
            let mut out = Vec::new();
            for value in &values_held {
                out.clear();
                serde_json::to_writer(&mut out, value).unwrap();
                length += out.len();
            }
        }
        let bare = lines / begun.elapsed().as_secs_f64();
        eprintln!(
            "{name}: read {:.0} lines/s (Value {:.0}); write native {:.0}, bd {:.0}, br {:.0} (Value {bare:.0}) [{length}]",
            lines / read,
            lines / values,
            wrote[0],
            wrote[1],
            wrote[2]
        );
    }
}
