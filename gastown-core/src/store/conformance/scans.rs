//! Cases about scans: each index against a plain filter and sort.

use super::Site;
use super::kit::{Bench, bead, code, other_town, rows, town};
use super::sample::{self, Draw};
use crate::model::record::Record as _;
use crate::model::value::Value;
use crate::model::{BeadId, BeadRow, BeadStatus, ErrorKind, Key, Row};
use crate::store::index::{self, INDEXES, Index};
use crate::store::{Position, Reader, Scan, Tally};

/// What a scan must give, found without any index.
fn expected(rows: &[Row], scan: &Scan) -> Vec<Row> {
    let mut found: Vec<(Vec<Value>, Row)> = rows
        .iter()
        .filter_map(|row| {
            let entry = scan.index.entry(&row.to_values())?;
            let order = entry.strip_prefix(scan.prefix.as_slice())?.to_vec();
            let behind = scan.after.as_ref().is_none_or(|after| order > after.0);
            let within = scan.upto.as_ref().is_none_or(|upto| order[0] <= *upto);
            (behind && within).then(|| (order, row.clone()))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().map(|(_, row)| row).take(scan.limit).collect()
}

fn check(reader: &dyn Reader, rows: &[Row], scan: &Scan) {
    let (found, wanted) = (reader.scan(scan).unwrap(), expected(rows, scan));
    assert_eq!(found, wanted, "{scan:?}");
    let packed = reader.scan_packed(scan).unwrap();
    let unpacked: Vec<Row> = (0..packed.len()).map(|row| packed.row(row).unwrap()).collect();
    assert_eq!(unpacked, wanted, "packed {scan:?}");
    let mut back = expected(rows, &Scan { limit: usize::MAX, ..scan.clone() });
    back.reverse();
    let from = |first: usize| back.iter().skip(first).take(scan.limit).cloned().collect::<Vec<_>>();
    assert_eq!(reader.scan_back(scan, None).unwrap(), from(0), "back {scan:?}");
    let middle = back.len() / 2;
    if let Some(row) = back.get(middle) {
        let before = Position::of(scan.index, row);
        assert_eq!(reader.scan_back(scan, Some(&before)).unwrap(), from(middle + 1), "before {before:?} {scan:?}");
    }
}

/// Every scan of an index that these rows make interesting.
pub(super) fn check_all(reader: &dyn Reader, rows: &[Row], index: &'static Index) {
    let entries: Vec<Vec<Value>> = rows.iter().map(Row::to_values).filter_map(|v| index.entry(&v)).collect();
    let mut prefixes: Vec<Vec<Value>> = entries.iter().map(|entry| entry[..index.prefix.len()].to_vec()).collect();
    prefixes.push(index.prefix.iter().map(|name| sample::absent(index, name)).collect());
    prefixes.sort();
    prefixes.dedup();
    for prefix in prefixes {
        let whole = Scan::new(index, prefix, 1_000);
        check(reader, rows, &whole);
        let all = expected(rows, &whole);
        assert_eq!(reader.count(&whole).unwrap(), all.len() as u64, "{whole:?}");
        let columns = [index.order[0], index.kind.columns()[index.kind.columns().len() - 1].name];
        let mut tallied = Tally::new();
        for row in all.iter().map(Row::to_values) {
            *tallied.entry(columns.iter().map(|name| row[index.place(name)].clone()).collect()).or_default() += 1;
        }
        assert_eq!(reader.tally(&whole, &columns).unwrap(), tallied, "{whole:?}");
        let some = reader.tally(&Scan { limit: 1, ..whole.clone() }, &columns).unwrap();
        assert_eq!(some.len(), tallied.len().min(1));
        assert!(some.iter().all(|(values, count)| tallied.get(values) == Some(count)), "{some:?}");
        for limit in [0, 1, 2] {
            check(reader, rows, &Scan { limit, ..whole.clone() });
        }
        for row in all.iter().step_by(3) {
            let position = Position::of(index, row);
            let upto = position.0[0].clone();
            for scan in [
                whole.clone().after(Some(position.clone())),
                whole.clone().upto(upto.clone()),
                whole.clone().after(Some(position.clone())).upto(upto.clone()),
                Scan { limit: 2, ..whole.clone().after(Some(position)) },
            ] {
                check(reader, rows, &scan);
                let unlimited = Scan { limit: 1_000, ..scan.clone() };
                assert_eq!(reader.count(&scan).unwrap(), expected(rows, &unlimited).len() as u64, "count {scan:?}");
            }
        }
    }
}

/// Puts, replaces and deletes rows of the index's table, and compares every scan each time.
fn scans_of(site: &Site, index: &'static Index) {
    let mut bench = Bench::new(site);
    let mut draw = Draw::new(100 + INDEXES.iter().position(|other| *other == index).unwrap() as u64);
    let mut there = rows(index.kind, 30, &mut draw);
    assert!(there.iter().any(|row| index.entry(&row.to_values()).is_some()), "the sample has an entry");
    bench.write(|txn| there.iter().for_each(|row| txn.put(row).unwrap()));
    bench.write_in(&other_town(), |txn| rows(index.kind, 5, &mut draw).iter().for_each(|row| txn.put(row).unwrap()));
    bench.read(|reader| check_all(reader, &there, index));
    for _ in 0..30 {
        let row = sample::row(index.kind, &town(), &mut draw);
        there.retain(|other| other.key() != row.key());
        bench.write(|txn| {
            if draw.below(3) == 0 {
                txn.delete(&row.key()).unwrap();
            } else {
                txn.put(&row).unwrap();
                there.push(row.clone());
            }
        });
    }
    bench.read(|reader| check_all(reader, &there, index));
    // A transaction's scans see its own changes.
    bench.write(|txn| {
        for row in there.drain(..there.len() / 2) {
            txn.delete(&row.key()).unwrap();
        }
        check_all(txn.as_reader(), &there, index);
    });
}

macro_rules! indexes {
    ($($name:ident = $index:ident;)*) => {
        $(pub(crate) fn $name(site: &Site) {
            scans_of(site, &index::$index);
        })*
        pub(crate) fn every_index_has_a_case(_: &Site) {
            let named: Vec<&Index> = vec![$(&index::$index),*];
            assert_eq!(named, INDEXES);
        }
    };
}

indexes! {
    scans_of_towns = TOWNS;
    scans_of_beads = BEADS;
    scans_of_beads_by_kind = BEADS_BY_KIND;
    scans_of_beads_by_status = BEADS_BY_STATUS;
    scans_of_beads_ready = BEADS_READY;
    scans_of_beads_ready_by_rig = BEADS_READY_BY_RIG;
    scans_of_beads_ready_by_age = BEADS_READY_BY_AGE;
    scans_of_beads_by_lease = BEADS_BY_LEASE;
    scans_of_beads_slung = BEADS_SLUNG;
    scans_of_beads_dirty = BEADS_DIRTY;
    scans_of_beads_due = BEADS_DUE;
    scans_of_beads_by_parent = BEADS_BY_PARENT;
    scans_of_beads_by_convoy = BEADS_BY_CONVOY;
    scans_of_beads_by_assignee = BEADS_BY_ASSIGNEE;
    scans_of_beads_by_external_ref = BEADS_BY_EXTERNAL_REF;
    scans_of_bead_texts = BEAD_TEXTS;
    scans_of_labels_all = LABELS_ALL;
    scans_of_labels = LABELS;
    scans_of_labels_by_name = LABELS_BY_NAME;
    scans_of_dependencies_all = DEPENDENCIES_ALL;
    scans_of_dependencies = DEPENDENCIES;
    scans_of_dependents = DEPENDENTS;
    scans_of_agents = AGENTS;
    scans_of_agents_by_name = AGENTS_BY_NAME;
    scans_of_agents_by_state = AGENTS_BY_STATE;
    scans_of_sessions = SESSIONS;
    scans_of_sessions_by_state = SESSIONS_BY_STATE;
    scans_of_sessions_by_bead = SESSIONS_BY_BEAD;
    scans_of_sessions_by_agent = SESSIONS_BY_AGENT;
    scans_of_sessions_due = SESSIONS_DUE;
    scans_of_convoys = CONVOYS;
    scans_of_convoys_by_state = CONVOYS_BY_STATE;
    scans_of_reviews = REVIEWS;
    scans_of_reviews_by_target = REVIEWS_BY_TARGET;
    scans_of_reviews_by_state = REVIEWS_BY_STATE;
    scans_of_reviews_by_source = REVIEWS_BY_SOURCE;
    scans_of_deliveries = DELIVERIES;
    scans_of_deliveries_by_message = DELIVERIES_BY_MESSAGE;
    scans_of_deliveries_by_recipient = DELIVERIES_BY_RECIPIENT;
    scans_of_deliveries_by_thread = DELIVERIES_BY_THREAD;
    scans_of_deliveries_due = DELIVERIES_DUE;
    scans_of_effects = EFFECTS;
    scans_of_effects_by_state = EFFECTS_BY_STATE;
    scans_of_effects_by_kind = EFFECTS_BY_KIND;
    scans_of_rigs = RIGS;
    scans_of_answers = ANSWERS;
    scans_of_answers_by_age = ANSWERS_BY_AGE;
    scans_of_settings_all = SETTINGS_ALL;
    scans_of_leaders = LEADERS;
    scans_of_settings = SETTINGS;
    scans_of_comments_all = COMMENTS_ALL;
    scans_of_comments = COMMENTS;
    scans_of_tombstones = TOMBSTONES;
    scans_of_foreign_records = FOREIGN_RECORDS;
    scans_of_reservations_all = RESERVATIONS_ALL;
    scans_of_reservations = RESERVATIONS;
    scans_of_reservations_by_rig = RESERVATIONS_BY_RIG;
    scans_of_beads_running = BEADS_RUNNING;
    scans_of_agents_busy = AGENTS_BUSY;
    scans_of_agents_busy_by_rig = AGENTS_BUSY_BY_RIG;
    scans_of_agents_busy_by_role = AGENTS_BUSY_BY_ROLE;
    scans_of_agents_busy_by_preset = AGENTS_BUSY_BY_PRESET;
    scans_of_agents_pooled = AGENTS_POOLED;
    scans_of_agents_paused = AGENTS_PAUSED;
    scans_of_rigs_paused = RIGS_PAUSED;
    scans_of_breakers = BREAKERS;
    scans_of_breakers_due = BREAKERS_DUE;
    scans_of_quarantine = QUARANTINE;
    scans_of_capabilities = CAPABILITIES;
    scans_of_capabilities_by_end = CAPABILITIES_BY_END;
}

/// Beads with these ids, open and ready.
fn beads(ids: impl IntoIterator<Item = u32>) -> Vec<Row> {
    let base = sample::bead(&mut Draw::new(1));
    ids.into_iter()
        .map(|n| {
            let id = BeadId::new(format!("gt-{n:04}")).unwrap();
            Row::Bead(BeadRow { id, status: BeadStatus::Open, dirty: true, ..base.clone() })
        })
        .collect()
}

pub(crate) fn pages_give_every_row_once_while_rows_change(site: &Site) {
    let mut bench = Bench::new(site);
    let even = beads((0..100).map(|n| n * 2));
    bench.write(|txn| even.iter().for_each(|row| txn.put(row).unwrap()));
    let (mut position, mut seen) = (None, Vec::new());
    for step in 0.. {
        let page =
            bench.read(|reader| reader.scan(&Scan::new(&index::BEADS, vec![], 7).after(position.clone())).unwrap());
        let Some(last) = page.last() else { break };
        position = Some(Position::of(&index::BEADS, last));
        // What was given last goes away, and what lies before comes in: neither moves what comes next.
        bench.write(|txn| {
            txn.delete(&last.key()).unwrap();
            txn.put(&beads([step * 2 + 1])[0]).unwrap();
        });
        seen.extend(page.iter().map(Row::key));
        assert!(step < 100, "paging ends");
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once, seen, "each once, in order");
    assert!(even.iter().all(|row| seen.contains(&row.key())));
}

pub(crate) fn a_position_of_a_row_that_is_gone_still_holds(site: &Site) {
    let mut bench = Bench::new(site);
    let rows = beads([1, 2, 3]);
    let position = Position::of(&index::BEADS_DIRTY, &rows[1]);
    bench.write(|txn| [&rows[0], &rows[2]].into_iter().for_each(|row| txn.put(row).unwrap()));
    let scan = Scan::new(&index::BEADS_DIRTY, vec![], 10).after(Some(position));
    assert_eq!(bench.read(|reader| reader.scan(&scan).unwrap()), rows[2..]);
}

pub(crate) fn a_scan_from_the_end_goes_on_before_a_place(site: &Site) {
    let mut bench = Bench::new(site);
    let rows = beads(0..300);
    bench.write(|txn| rows.iter().for_each(|row| txn.put(row).unwrap()));
    let (mut before, mut seen) = (None, Vec::new());
    for _ in 0..100 {
        let scan = Scan::new(&index::BEADS_DIRTY, vec![], 7);
        let page = bench.read(|reader| reader.scan_back(&scan, before.as_ref()).unwrap());
        let Some(last) = page.last() else { break };
        before = Some(Position::of(&index::BEADS_DIRTY, last));
        // That it goes away does not move what comes next.
        bench.write(|txn| txn.delete(&last.key()).unwrap());
        seen.extend(page);
    }
    assert_eq!(seen, rows.iter().rev().cloned().collect::<Vec<_>>());
    let place = |values| Some(Position(values));
    for malformed in [place(vec![]), place(vec![Value::Int(1)]), place(vec![Value::Null])] {
        let scan = Scan::new(&index::BEADS, vec![], 10);
        let refused = bench.read(|reader| code(reader.scan_back(&scan, malformed.as_ref())));
        assert_eq!(refused, "position_malformed");
    }
}

pub(crate) fn text_is_ordered_by_its_bytes(site: &Site) {
    let mut bench = Bench::new(site);
    let mut labels = vec!["b", "a", "B", "ä", "", "a\0", "aa", "z", "Z", "\u{ffff}", "\u{10000}", "10", "9", " "];
    let id = BeadId::new("gt-1").unwrap();
    bench.write(|txn| {
        for label in &labels {
            let row = crate::model::LabelRow { bead: id.clone(), label: (*label).to_owned() };
            txn.put(&Row::Label(row)).unwrap();
        }
    });
    labels.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let rows =
        bench.read(|reader| reader.scan(&Scan::new(&index::LABELS, vec![Value::Text("gt-1".into())], 100)).unwrap());
    let found: Vec<String> =
        rows.into_iter().map(|row| if let Row::Label(label) = row { label.label } else { String::new() }).collect();
    assert_eq!(found, labels);
}

pub(crate) fn a_prefix_is_not_a_prefix_of_text(site: &Site) {
    let mut bench = Bench::new(site);
    let setting = |scope: &str| {
        Row::Setting(crate::model::SettingRow {
            scope: scope.into(),
            name: "x".into(),
            value: serde_json::json!(1),
            updated_at: crate::model::Timestamp::default(),
        })
    };
    let rows = ["rig:a", "rig:ab", "rig:", "rig:a\0"].map(setting);
    bench.write(|txn| rows.iter().for_each(|row| txn.put(row).unwrap()));
    let scan = Scan::new(&index::SETTINGS, vec![Value::Text("rig:a".into())], 10);
    assert_eq!(bench.read(|reader| reader.scan(&scan).unwrap()), rows[..1]);
}

pub(crate) fn a_row_leaves_an_index_when_its_condition_ends(site: &Site) {
    let mut bench = Bench::new(site);
    let row = beads([1]).remove(0);
    let dirty =
        |bench: &mut Bench| bench.read(|reader| reader.count(&Scan::new(&index::BEADS_DIRTY, vec![], 1)).unwrap());
    bench.write(|txn| txn.put(&row).unwrap());
    assert_eq!(dirty(&mut bench), 1);
    let Row::Bead(bead) = row else { unreachable!("it is a bead") };
    bench.write(|txn| txn.put(&Row::Bead(BeadRow { dirty: false, ..bead.clone() })).unwrap());
    assert_eq!(dirty(&mut bench), 0);
    bench.write(|txn| txn.put(&Row::Bead(bead)).unwrap());
    assert_eq!(dirty(&mut bench), 1);
}

pub(crate) fn a_position_of_another_index_is_refused(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&bead(1)).unwrap());
    for position in
        [vec![], vec![Value::Int(1)], vec![Value::Null], vec![Value::Text("a".into()), Value::Text("b".into())]]
    {
        let scan = Scan::new(&index::BEADS, vec![], 10).after(Some(Position(position)));
        let error = bench.read(|reader| reader.scan(&scan).unwrap_err());
        assert_eq!((error.code(), error.kind()), ("position_malformed", ErrorKind::Invalid));
        assert_eq!(bench.read(|reader| code(reader.count(&scan))), "position_malformed");
    }
}

pub(crate) fn a_count_is_not_bound_by_the_limit(site: &Site) {
    let mut bench = Bench::new(site);
    let rows = beads(0..2_500);
    bench.write(|txn| rows.iter().for_each(|row| txn.put(row).unwrap()));
    let scan = Scan::new(&index::BEADS, vec![], 1);
    assert_eq!(bench.read(|reader| reader.count(&scan).unwrap()), 2_500);
    assert_eq!(BeadRow::COLUMNS.len(), rows[0].to_values().len());
    bench.write(|txn| txn.delete(&Key::bead(&BeadId::new("gt-0000").unwrap())).unwrap());
    assert_eq!(bench.read(|reader| reader.count(&scan).unwrap()), 2_499);
}

pub(crate) fn a_tally_counts_the_rows_of_each_value(site: &Site) {
    let mut bench = Bench::new(site);
    let mut rows = beads(0..2_500);
    for (n, row) in (0_u32..).zip(&mut rows) {
        if let Row::Bead(bead) = row {
            bead.priority = n % 3;
            bead.assignee = (n % 2 == 1).then(|| "tess".to_owned());
        }
    }
    bench.write(|txn| rows.iter().for_each(|row| txn.put(row).unwrap()));
    let scan = Scan::new(&index::BEADS, vec![], 10);
    let tess = || Value::Text("tess".to_owned());
    let wanted = [(Value::Null, 0, 417), (Value::Null, 1, 416), (Value::Null, 2, 417)]
        .into_iter()
        .chain([(tess(), 0, 417), (tess(), 1, 417), (tess(), 2, 416)])
        .map(|(who, priority, count)| (vec![who, Value::Int(priority)], count));
    let mut tally = |scan: &Scan| bench.read(|reader| reader.tally(scan, &["assignee", "priority"]).unwrap());
    assert_eq!(tally(&scan), wanted.collect::<Tally>());
    assert_eq!(tally(&Scan { limit: 2, ..scan }).len(), 2);
}
