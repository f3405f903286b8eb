//! Input that is out to do harm, through the whole library: each is answered or refused with a type, and nothing of it is
//! left half written. The same table and the same file are tried from Python and Node.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;

use gastown_core::model::{BeadId, BeadStatus};
use gastown_core::{
    AddRig, All, BeadFilter, CloseBead, ErrorKind, GraphFilter, ImportBeads, KeyedBead, KeyedLink, Link, NewBead,
    NewBeads, ReopenBead, Town,
};
use serde_json::Value as Json;

use crate::history::is_soak;
use crate::support::origin;

async fn town(folder: &Path) -> Town {
    Town::builder(folder.join("town")).from_env().open().await.unwrap()
}

async fn ends_well(town: Town) {
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
}

/// Texts of the table that are too long to be written out.
fn unfold(value: &Json) -> Json {
    match value {
        Json::Object(map) if map.contains_key("repeat") => {
            let part = |name: &str| map.get(name).and_then(Json::as_str).unwrap_or_default();
            let times = usize::try_from(map["times"].as_u64().unwrap()).unwrap();
            let many = vec![part("repeat"); times].join(part("between"));
            Json::from(format!("{}{many}{}", part("before"), part("after")))
        }
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), unfold(value))).collect(),
        Json::Array(all) => all.iter().map(unfold).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn every_hostile_call_is_answered_or_refused_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let town = town(dir.path()).await;
    let operator = town.operator();
    let bare = origin(dir.path());
    operator.rigs().add(AddRig::new("harbour".parse().unwrap(), bare.to_str().unwrap())).await.unwrap();
    operator.beads().create(NewBead::titled("Lay the keel")).await.unwrap();
    let head = operator.upkeep().health(All {}).await.unwrap().head;
    let table: Vec<(String, Json, Option<String>)> = serde_json::from_str(include_str!("../hostile.json")).unwrap();
    let mut wrong = String::new();
    for (operation, input, code) in &table {
        let answer = operator.call(operation, unfold(input)).await;
        let found = answer.as_ref().err().map(|error| error.code().to_owned());
        if found != *code {
            writeln!(wrong, "{operation} {input}: {found:?}, not {code:?}").unwrap();
        }
        if let Err(error) = answer {
            let is_callers = matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Exhausted);
            assert!(is_callers && error.to_string().len() < 2_000, "{operation} {input}: {error:?}");
        }
    }
    assert_eq!(wrong, "");
    assert_eq!(operator.upkeep().health(All {}).await.unwrap().head, head, "none of them changed anything");
    ends_well(town).await;
}

/// A file with everything that is wrong with files; the same in the other languages' tests.
fn broken_file(path: &Path, long_line_bytes: usize) {
    let mut out = BufWriter::new(fs::File::create(path).unwrap());
    let times = r#""created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z""#;
    let edge = |on: &str, kind: &str| format!(r#"{{"issue_id":"x","depends_on_id":"{on}","type":"{kind}"}}"#);
    let edges =
        [edge("gt-1", "blocks"), edge("gt-gone", "blocks"), edge("gt-2", "parent-child"), edge("gt-2", "nonsense")];
    writeln!(
        out,
        r#"{{"id":"gt-1","title":"good",{times},"dependencies":[{}]}}"#,
        edges.join(",").replace("\"x\"", "\"gt-1\"")
    )
    .unwrap();
    writeln!(out, r#"{{"id":"gt-2","title":"twice",{times}}}"#).unwrap();
    writeln!(
        out,
        r#"{{"id":"gt-2","title":"later","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T00:00:00Z"}}"#
    )
    .unwrap();
    out.write_all(b"{\"id\":\"gt-3\",\"title\":\"\xff\xfe\"}\n").unwrap();
    writeln!(out, r#"{{"id":"gt-4","title":"odd","priority":99,"status":"nonsense","issue_type":"nonsense",{times}}}"#)
        .unwrap();
    writeln!(
        out,
        r#"{{"id":"gt-5","title":"far","estimated_minutes":1e300,"due_at":"99999-01-01T00:00:00Z",{times}}}"#
    )
    .unwrap();
    writeln!(out, "{}{}", "[".repeat(100_000), "]".repeat(100_000)).unwrap();
    write!(out, r#"{{"id":"gt-6","title":"long",{times},"description":""#).unwrap();
    for _ in 0..long_line_bytes / 1_000 {
        out.write_all(&[b'x'; 1_000]).unwrap();
    }
    out.write_all(b"\"}\n").unwrap();
    out.write_all(b"{\"id\":\"gt-7\",\"ti").unwrap();
    out.flush().unwrap();
}

#[tokio::test]
async fn a_broken_file_comes_in_as_far_as_it_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let town = town(dir.path()).await;
    let beads = town.operator().beads();
    let file = dir.path().join("issues.jsonl");
    broken_file(&file, 50 << 20);
    let report = beads.import_from(file.as_path()).await.unwrap();
    let flawed: Vec<(u64, &str)> = report.flawed_lines.iter().map(|flaw| (flaw.line, flaw.code.as_str())).collect();
    assert_eq!(flawed, [(4, "invalid_utf8"), (7, "not_an_object"), (8, "text_too_long"), (9, "line_cut")]);
    assert_eq!((report.created, report.updated, report.dangling), (4, 1, 1), "{report:?}");
    for code in ["self_edge", "duplicate_id", "number_out_of_range", "priority_out_of_range", "status_unknown"] {
        assert_eq!(report.repairs.get(code), Some(&1), "{code} in {report:?}");
    }
    let found: Vec<String> =
        beads.list(BeadFilter::default()).await.unwrap().beads.iter().map(|b| b.title.clone()).collect();
    assert_eq!(found, ["good", "later", "odd", "far"]);
    let strict = ImportBeads { strict: true, ..ImportBeads::from(file.as_path()) };
    let error = beads.import_from(strict).await.unwrap_err();
    assert_eq!((error.code(), error.fact("line")), ("import_flawed", Some("4")));
    let again = beads.import_from(file.as_path()).await.unwrap();
    assert_eq!((again.created, again.updated, again.flaws), (0, 0, report.flaws));
    ends_well(town).await;
}

/// What a child that imports says of its memory at the end, in KiB.
async fn peak_of_import(folder: &Path, file: &Path) -> (u64, u64) {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_town-child"));
    let output =
        child.arg("import").arg(folder.join("town")).arg(file).stderr(Stdio::inherit()).output().await.unwrap();
    assert!(output.status.success());
    let said: Json = serde_json::from_slice(&output.stdout).unwrap();
    (said["created"].as_u64().unwrap(), said["peak_kib"].as_u64().unwrap())
}

/// A stream of issues about as long as asked, each with two edges to earlier ones.
fn stream(path: &Path, bytes: u64) -> u64 {
    let mut out = BufWriter::new(fs::File::create(path).unwrap());
    let (mut written, mut count) = (0, 0_u64);
    let text = "words of a description ".repeat(30);
    while written < bytes {
        count += 1;
        let edge = |on: u64| format!(r#"{{"issue_id":"gt-{count}","depends_on_id":"gt-{on}","type":"blocks"}}"#);
        let line = format!(
            r#"{{"id":"gt-{count}","title":"Issue {count}","description":"{text}","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","dependencies":[{},{}]}}"#,
            edge(count / 2),
            edge(count / 3)
        );
        writeln!(out, "{line}").unwrap();
        written += line.len() as u64 + 1;
    }
    out.flush().unwrap();
    count
}

/// The most memory that an import takes, whatever the file's size.
const IMPORT_KIB_MAX: u64 = 400 << 10;

#[tokio::test]
async fn an_import_of_any_size_takes_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("issues.jsonl");
    let count = stream(&file, if is_soak() { 1 << 30 } else { 4 << 20 });
    let (created, peak_kib) = peak_of_import(dir.path(), &file).await;
    println!("{count} issues of {} MiB: {} MiB at most", fs::metadata(&file).unwrap().len() >> 20, peak_kib >> 10);
    assert_eq!(created, count);
    assert!(peak_kib < IMPORT_KIB_MAX, "{peak_kib} KiB");
}

fn many() -> usize {
    if is_soak() { 100_000 } else { 500 }
}

/// Makes so many beads through the front door, each of which waits for the one that is said of those before it.
async fn grow(town: &Town, count: usize, on: impl Fn(usize) -> usize) -> Vec<BeadId> {
    let beads = town.operator().beads();
    let mut ids = vec![beads.create(NewBead::titled("first")).await.unwrap().id];
    while ids.len() < count {
        let first = ids.len();
        let all = first..count.min(first + 1_000);
        let name = |n: usize| ids.get(n).map_or_else(|| format!("k{n}"), BeadId::to_string);
        let links = all.clone().map(|n| KeyedLink::blocks(format!("k{n}"), name(on(n)))).collect();
        let new = all.map(|n| KeyedBead::new(format!("k{n}"), NewBead::titled(format!("{n}")))).collect();
        let made = beads.create_many(NewBeads { beads: new, links }).await.unwrap();
        ids.extend(made.beads.into_iter().map(|bead| bead.id));
    }
    ids
}

#[tokio::test]
async fn a_bead_with_very_many_dependents_is_closed_and_opened_in_a_town_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let town = town(dir.path()).await;
    let beads = town.operator().beads();
    let ids = grow(&town, many() + 1, |_| 0).await;
    let closed = beads.close(&ids[0]).await.unwrap();
    assert_eq!(closed.unblocked.len(), many());
    beads.reopen(ReopenBead::from(&ids[0])).await.unwrap();
    assert_eq!(beads.get(&ids[many()]).await.unwrap().blockers, 1);
    let forced = beads.close(CloseBead { force: true, ..CloseBead::from(&ids[1]) }).await.unwrap();
    assert_eq!(forced.bead.status, BeadStatus::Closed);
    let page = beads.blocked(GraphFilter { limit: Some(1), ..GraphFilter::default() }).await.unwrap();
    assert_eq!(page.blocked.len(), 1);
    ends_well(town).await;
}

#[tokio::test]
async fn a_very_long_chain_is_walked_and_its_circle_is_shown_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let town = town(dir.path()).await;
    let beads = town.operator().beads();
    let ids = grow(&town, many(), |n| n - 1).await;
    let error = beads.link(Link::blocks(ids[0].clone(), ids[many() - 1].clone())).await.unwrap_err();
    assert_eq!((error.code(), error.fact("edges")), ("cycle", Some(&*many().to_string())));
    assert!(error.to_string().len() < 5_000);
    let closed = beads.close(&ids[0]).await.unwrap();
    assert_eq!(closed.unblocked, [ids[1].clone()]);
    let told = beads.explain(&ids[many() - 1]).await.unwrap();
    assert!(!told.is_ready && told.reasons.len() == 1);
    ends_well(town).await;
}
