//! Cases about the edges between beads.

use super::Site;
use super::kit::{Bench, all, at, code, id, issue, put_all, text};
use crate::model::{DependencyKind, DependencyRow, Error, Key, Row};
use crate::store::Scan;
use crate::store::index::{BEADS, DEPENDENCIES, DEPENDENCIES_ALL, DEPENDENTS};

fn edge(bead: &str, on: &str, kind: DependencyKind) -> DependencyRow {
    DependencyRow {
        bead: id(bead),
        on_bead: id(on),
        kind,
        counted: kind.is_blocking(),
        created_by: "tess".into(),
        created_at: at(1),
        gate: None,
        extra: None,
    }
}

fn blocks(bead: &str, on: &str) -> Row {
    Row::Dependency(edge(bead, on, DependencyKind::Blocks))
}

/// What a bead depends on, and what depends on it.
fn around(bench: &mut Bench, bead: &str) -> (Vec<String>, Vec<String>) {
    let edge = |row: Row, down: bool| match row {
        Row::Dependency(edge) => (if down { edge.on_bead } else { edge.bead }).to_string(),
        other => panic!("{other:?} is no edge"),
    };
    bench.read(|reader| {
        let down = all(reader, &DEPENDENCIES, &[text(bead)]).into_iter().map(|row| edge(row, true)).collect();
        let up = all(reader, &DEPENDENTS, &[text(bead)]).into_iter().map(|row| edge(row, false)).collect();
        (down, up)
    })
}

pub(crate) fn an_edge_is_found_from_both_ends(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| put_all(txn, &[blocks("gt-2", "gt-1"), blocks("gt-3", "gt-1"), blocks("gt-3", "gt-2")]));
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(around(&mut bench, "gt-1"), (words(&[]), words(&["gt-2", "gt-3"])));
    assert_eq!(around(&mut bench, "gt-2"), (words(&["gt-1"]), words(&["gt-3"])));
    assert_eq!(around(&mut bench, "gt-3"), (words(&["gt-1", "gt-2"]), words(&[])));
}

pub(crate) fn a_bead_without_edges_has_none(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&blocks("gt-2", "gt-1")).unwrap());
    for bead in ["gt-3", "gt-", "gt", "gt-21", "gt-11"] {
        assert_eq!(around(&mut bench, bead), (vec![], vec![]), "{bead}");
    }
    assert_ne!(around(&mut bench, "gt-1"), (vec![], vec![]), "one that has some");
}

pub(crate) fn an_edge_that_is_added_again_is_one(site: &Site) {
    let mut bench = Bench::new(site);
    for _ in 0..2 {
        bench.write(|txn| put_all(txn, &[blocks("gt-2", "gt-1"), blocks("gt-2", "gt-1")]));
    }
    assert_eq!(bench.read(|reader| all(reader, &DEPENDENCIES_ALL, &[])), [blocks("gt-2", "gt-1")]);
    assert_eq!(around(&mut bench, "gt-1").1.len(), 1);
}

pub(crate) fn an_edge_of_another_kind_is_another_edge(site: &Site) {
    let mut bench = Bench::new(site);
    let edges: Vec<Row> = DependencyKind::ALL.iter().map(|kind| Row::Dependency(edge("gt-2", "gt-1", *kind))).collect();
    bench.write(|txn| put_all(txn, &edges));
    for row in &edges {
        assert_eq!(bench.get(&row.key()).as_ref(), Some(row));
    }
    assert_eq!(around(&mut bench, "gt-2").0.len(), edges.len());
    // One goes, and the others stay.
    bench.write(|txn| txn.delete(&Key::dependency(&id("gt-2"), &id("gt-1"), DependencyKind::Tracks)).unwrap());
    assert_eq!(around(&mut bench, "gt-1").1.len(), edges.len() - 1);
    assert!(bench.get(&blocks("gt-2", "gt-1").key()).is_some());
}

pub(crate) fn edges_of_two_beads_are_ordered_by_kind(site: &Site) {
    let mut bench = Bench::new(site);
    let mut kinds: Vec<&str> = DependencyKind::ALL.iter().map(DependencyKind::as_str).collect();
    let edges: Vec<Row> =
        DependencyKind::ALL.iter().rev().map(|kind| Row::Dependency(edge("gt-2", "gt-1", *kind))).collect();
    bench.write(|txn| put_all(txn, &edges));
    kinds.sort_unstable();
    for (index, bead) in [(&DEPENDENCIES, "gt-2"), (&DEPENDENTS, "gt-1")] {
        let found: Vec<String> = bench
            .read(|reader| all(reader, index, &[text(bead)]))
            .into_iter()
            .map(|row| if let Row::Dependency(edge) = row { edge.kind.to_string() } else { String::new() })
            .collect();
        assert_eq!(found, kinds, "{}", index.name);
    }
}

pub(crate) fn a_removed_edge_is_gone_from_both_ends(site: &Site) {
    let mut bench = Bench::new(site);
    let (kept, gone) = (blocks("gt-3", "gt-1"), blocks("gt-2", "gt-1"));
    bench.write(|txn| put_all(txn, &[kept.clone(), gone.clone()]));
    for _ in 0..2 {
        // The second time there is nothing to remove, which is fine.
        bench.write(|txn| txn.delete(&gone.key()).unwrap());
        assert_eq!(around(&mut bench, "gt-2"), (vec![], vec![]));
        assert_eq!(around(&mut bench, "gt-1").1, ["gt-3"]);
    }
    assert_eq!(bench.get(&kept.key()), Some(kept));
}

pub(crate) fn the_reverse_of_an_edge_is_another_edge(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| put_all(txn, &[blocks("gt-1", "gt-2"), blocks("gt-2", "gt-1"), blocks("gt-1", "gt-1")]));
    bench.write(|txn| txn.delete(&blocks("gt-2", "gt-1").key()).unwrap());
    assert_eq!(around(&mut bench, "gt-1"), (vec!["gt-1".into(), "gt-2".into()], vec!["gt-1".into()]));
    assert_eq!(around(&mut bench, "gt-2"), (vec![], vec!["gt-1".into()]));
}

pub(crate) fn edges_of_beads_with_like_names_are_apart(site: &Site) {
    let mut bench = Bench::new(site);
    let beads = ["gt-1", "gt-10", "gt-1.1", "gt-1-1", "gt-1#1", "gt-11", "GT-1"];
    bench.write(|txn| beads.iter().for_each(|bead| txn.put(&blocks(bead, "gt-0")).unwrap()));
    for bead in beads {
        assert_eq!(around(&mut bench, bead).0, ["gt-0"], "{bead}");
    }
    let mut ordered = beads.map(str::to_owned);
    ordered.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(around(&mut bench, "gt-0").1, ordered);
}

pub(crate) fn an_edge_may_name_beads_that_are_not_there(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&blocks("gt-2", "gt-1")).unwrap());
    assert_eq!(bench.read(|reader| all(reader, &BEADS, &[])), []);
    bench.write(|txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    bench.write(|txn| txn.delete(&Row::Bead(issue("gt-1")).key()).unwrap());
    assert_eq!(around(&mut bench, "gt-1").1, ["gt-2"]);
}

pub(crate) fn an_edge_that_no_longer_counts_is_the_same_edge(site: &Site) {
    let mut bench = Bench::new(site);
    let counted = edge("gt-2", "gt-1", DependencyKind::Blocks);
    let resolved = Row::Dependency(DependencyRow { counted: false, created_at: at(9), ..counted.clone() });
    bench.write(|txn| txn.put(&Row::Dependency(counted)).unwrap());
    bench.write(|txn| txn.put(&resolved).unwrap());
    assert_eq!(bench.read(|reader| all(reader, &DEPENDENTS, &[text("gt-1")])), [resolved]);
}

pub(crate) fn many_beads_are_changed_together_or_not_at_all(site: &Site) {
    let mut bench = Bench::new(site);
    let beads: Vec<Row> = ["gt-1", "gt-2", "gt-3"].map(|name| Row::Bead(issue(name))).into();
    bench.write(|txn| put_all(txn, &beads));
    let store = super::kit::wait(super::kit::store(site.backend()));
    let mark = |beads: &'static [&'static str]| {
        let store = store.clone();
        super::kit::wait(async move {
            store
                .write(move |txn| {
                    for bead in beads {
                        let Some(Row::Bead(mut row)) = txn.get(&Key::bead(&id(bead)))? else {
                            return Err(Error::not_found("bead_missing", "the bead is not there"));
                        };
                        row.metadata = serde_json::json!({ "batch": "1" });
                        txn.put(&Row::Bead(row))?;
                    }
                    Ok(())
                })
                .await
        })
    };
    // None of them, where one is unknown; nothing at all is fine.
    assert_eq!(code(mark(&["gt-1", "gt-2", "gt-9"])), "bead_missing");
    mark(&[]).unwrap();
    assert_eq!(bench.read(|reader| all(reader, &BEADS, &[])), beads);
    mark(&["gt-1", "gt-3"]).unwrap();
    let marked = bench.read(|reader| reader.scan(&Scan::new(&BEADS, vec![], 10)).unwrap());
    let marked: Vec<_> =
        marked.iter().map(|row| matches!(row, Row::Bead(bead) if bead.metadata["batch"] == "1")).collect();
    assert_eq!(marked, [true, false, true]);
    super::kit::wait(store.close()).unwrap();
}
