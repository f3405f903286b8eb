//! Cases about beads: what the engine and people ask for, in rows.

use super::Site;
use super::kit::{Bench, all, at, bead_of, id, issue, names, put_all, text};
use crate::model::value::Value;
use crate::model::{BeadKind, BeadRow, BeadStatus, BeadTextRow, Key, LabelRow, Resolution, Row, RowKind};
use crate::store::index::{
    BEADS, BEADS_BY_ASSIGNEE, BEADS_BY_CONVOY, BEADS_BY_KIND, BEADS_BY_PARENT, BEADS_BY_STATUS, BEADS_DIRTY, BEADS_DUE,
    BEADS_READY, BEADS_SLUNG, INDEXES, LABELS, LABELS_BY_NAME,
};
use crate::store::{Position, Scan};

fn put(bench: &mut Bench, beads: impl IntoIterator<Item = BeadRow>) {
    let rows: Vec<Row> = beads.into_iter().map(Row::Bead).collect();
    bench.write(|txn| put_all(txn, &rows));
}

fn ready(bench: &mut Bench) -> Vec<String> {
    bench.read(|reader| names(&all(reader, &BEADS_READY, &super::kit::ready())))
}

pub(crate) fn an_empty_town_has_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    bench.read(|reader| {
        for index in INDEXES {
            let prefix = index.prefix.iter().map(|name| super::sample::absent(index, name)).collect();
            let scan = Scan::new(index, prefix, 10);
            assert_eq!(reader.scan(&scan).unwrap(), [], "{}", index.name);
            assert_eq!(reader.count(&scan).unwrap(), 0, "{}", index.name);
        }
        assert_eq!(reader.get(&Key::bead(&id("gt-1"))).unwrap(), None);
        assert!(reader.unreadable().is_empty());
    });
}

pub(crate) fn a_bead_that_is_not_there_is_none(site: &Site) {
    let mut bench = Bench::new(site);
    put(&mut bench, ["gt-1", "gt-10", "gt-1.1", "GT-2"].map(issue));
    for words in ["gt-2", "gt-", "gt-100", "gt-1.10", "gt-1.1.1", "g", "Gt-1", "1"] {
        assert_eq!(bench.get(&Key::bead(&id(words))), None, "{words}");
    }
    assert!(bench.get(&Key::bead(&id("GT-2"))).is_some(), "one that is there");
}

pub(crate) fn a_list_gives_everything_that_was_made(site: &Site) {
    let mut bench = Bench::new(site);
    for count in 1..=30 {
        put(&mut bench, [issue(&format!("gt-{count:02}"))]);
        let found = bench.read(|reader| all(reader, &BEADS, &[]));
        assert_eq!(found.len(), count);
        assert_eq!(bench.read(|reader| reader.count(&Scan::new(&BEADS, vec![], 1)).unwrap()), count as u64);
    }
}

pub(crate) fn beads_come_in_the_order_they_were_made(site: &Site) {
    let mut bench = Bench::new(site);
    // Neither the order of the ids nor that of the writing.
    let made = [("gt-c", 3), ("gt-a", 2), ("gt-d", 1), ("gt-b", 2)];
    put(&mut bench, made.map(|(name, second)| BeadRow { created_at: at(second), ..issue(name) }));
    for prefix in [&[text("issue")][..], &[text("issue"), text("open")]] {
        let index = if prefix.len() == 1 { &BEADS_BY_KIND } else { &BEADS_BY_STATUS };
        let found = bench.read(|reader| names(&all(reader, index, prefix)));
        assert_eq!(found, ["gt-d", "gt-a", "gt-b", "gt-c"], "{}", index.name);
    }
}

pub(crate) fn beads_from_before_1970_come_first(site: &Site) {
    let mut bench = Bench::new(site);
    let made = [("gt-a", 1), ("gt-b", -1), ("gt-c", 0), ("gt-d", -1_000_000_000)];
    put(&mut bench, made.map(|(name, second)| BeadRow { created_at: at(second), ..issue(name) }));
    let found = bench.read(|reader| names(&all(reader, &BEADS_BY_KIND, &[text("issue")])));
    assert_eq!(found, ["gt-d", "gt-b", "gt-c", "gt-a"]);
}

pub(crate) fn ready_beads_come_by_urgency_then_age_then_id(site: &Site) {
    let mut bench = Bench::new(site);
    let made = [("gt-a", 2, 1), ("gt-b", 0, 9), ("gt-c", 2, 0), ("gt-e", 10, 0), ("gt-d", 2, 0), ("gt-f", 4, 0)];
    put(&mut bench, made.map(|(name, priority, second)| BeadRow { priority, created_at: at(second), ..issue(name) }));
    assert_eq!(ready(&mut bench), ["gt-b", "gt-c", "gt-d", "gt-a", "gt-f", "gt-e"]);
}

pub(crate) fn only_open_beads_are_ready(site: &Site) {
    let mut bench = Bench::new(site);
    put(
        &mut bench,
        BeadStatus::ALL.iter().map(|status| BeadRow { status: *status, ..issue(&format!("gt-{}", status.as_str())) }),
    );
    assert_eq!(ready(&mut bench), ["gt-open"]);
}

pub(crate) fn only_issues_are_among_the_ready_issues(site: &Site) {
    let mut bench = Bench::new(site);
    put(
        &mut bench,
        BeadKind::ALL.iter().map(|kind| BeadRow { kind: *kind, ..issue(&format!("gt-{}", kind.as_str())) }),
    );
    assert_eq!(ready(&mut bench), ["gt-issue"]);
    for kind in BeadKind::ALL {
        let found = bench.read(|reader| names(&all(reader, &BEADS_BY_KIND, &[text(kind.as_str())])));
        assert_eq!(found, [format!("gt-{}", kind.as_str())]);
    }
}

pub(crate) fn a_blocked_bead_is_ready_when_its_last_blocker_goes(site: &Site) {
    let mut bench = Bench::new(site);
    for (blockers, wanted) in [(2, 0), (1, 0), (0, 1), (1, 0), (0, 1)] {
        put(&mut bench, [BeadRow { blockers, ..issue("gt-1") }]);
        assert_eq!(ready(&mut bench).len(), wanted, "{blockers} blockers");
    }
}

pub(crate) fn a_closed_bead_is_there_and_not_ready(site: &Site) {
    let mut bench = Bench::new(site);
    put(&mut bench, ["gt-1", "gt-2"].map(issue));
    let closed = BeadRow {
        status: BeadStatus::Closed,
        resolution: Some(Resolution::Completed),
        closed_at: Some(at(5)),
        ..issue("gt-1")
    };
    // Closing it again changes nothing.
    for _ in 0..2 {
        put(&mut bench, [closed.clone()]);
        assert_eq!(bench.read(|reader| bead_of(reader, "gt-1")), closed);
        assert_eq!(ready(&mut bench), ["gt-2"]);
        let of = |bench: &mut Bench, status: &str| {
            bench.read(|reader| names(&all(reader, &BEADS_BY_STATUS, &[text("issue"), text(status)])))
        };
        assert_eq!((of(&mut bench, "closed").len(), of(&mut bench, "open").len()), (1, 1));
    }
}

pub(crate) fn a_bead_that_is_opened_again_takes_its_old_place(site: &Site) {
    let mut bench = Bench::new(site);
    put(&mut bench, ["gt-1", "gt-2", "gt-3"].map(issue));
    put(&mut bench, [BeadRow { status: BeadStatus::Closed, ..issue("gt-2") }]);
    put(&mut bench, [BeadRow { status: BeadStatus::Open, version: 3, ..issue("gt-2") }]);
    assert_eq!(ready(&mut bench), ["gt-1", "gt-2", "gt-3"]);
}

/// A row of each kind with every column changed by itself.
pub(crate) fn a_change_of_one_column_changes_no_other(site: &Site) {
    let mut bench = Bench::new(site);
    let mut draw = super::sample::Draw::new(71);
    for &kind in RowKind::ALL {
        let mut row = super::sample::row(kind, &super::kit::town(), &mut draw);
        for place in kind.key_len()..kind.columns().len() {
            let other = (0..500).find_map(|_| {
                let drawn = super::sample::row(kind, &super::kit::town(), &mut draw).to_values().swap_remove(place);
                let mut values = row.to_values();
                (values[place] != drawn).then(|| {
                    values[place] = drawn;
                    kind.decode(&values).unwrap()
                })
            });
            // Some columns have one value in the sample.
            let Some(other) = other else { continue };
            bench.write(|txn| txn.put(&row).unwrap());
            bench.write(|txn| txn.put(&other).unwrap());
            assert_eq!(bench.get(&row.key()), Some(other.clone()), "{}", kind.columns()[place].name);
            row = other;
        }
    }
}

pub(crate) fn putting_the_same_row_again_changes_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    let mut draw = super::sample::Draw::new(72);
    for &kind in RowKind::ALL {
        let row = super::sample::row(kind, &super::kit::town(), &mut draw);
        for _ in 0..3 {
            bench.write(|txn| {
                txn.put(&row).unwrap();
                txn.put(&row).unwrap();
            });
        }
        let found = bench.read(|reader| all(reader, crate::store::index::of_key(kind), &[]));
        assert_eq!(found, [row], "{}", kind.table());
    }
}

pub(crate) fn parts_are_those_of_their_own_parent(site: &Site) {
    let mut bench = Bench::new(site);
    let part = |name: &str, parent: &str| BeadRow { parent: Some(id(parent)), ..issue(name) };
    put(
        &mut bench,
        [
            issue("gt-1"),
            issue("gt-10"),
            part("gt-1.2", "gt-1"),
            part("gt-1.1", "gt-1"),
            part("gt-10.1", "gt-10"),
            part("gt-1.1.1", "gt-1.1"),
        ],
    );
    for (parent, parts) in
        [("gt-1", &["gt-1.1", "gt-1.2"][..]), ("gt-10", &["gt-10.1"]), ("gt-1.1", &["gt-1.1.1"]), ("gt-1.2", &[])]
    {
        assert_eq!(bench.read(|reader| names(&all(reader, &BEADS_BY_PARENT, &[text(parent)]))), parts, "{parent}");
    }
    // One moves to another parent.
    put(&mut bench, [part("gt-1.2", "gt-10")]);
    let of = |bench: &mut Bench, parent| bench.read(|reader| names(&all(reader, &BEADS_BY_PARENT, &[text(parent)])));
    assert_eq!(of(&mut bench, "gt-1"), ["gt-1.1"]);
    assert_eq!(of(&mut bench, "gt-10"), ["gt-1.2", "gt-10.1"]);
}

pub(crate) fn members_of_a_convoy_are_its_own(site: &Site) {
    let mut bench = Bench::new(site);
    let member = |name: &str, convoy: Option<&str>| BeadRow { convoy: convoy.map(id), ..issue(name) };
    put(&mut bench, [member("gt-1", Some("gt-c1")), member("gt-2", None), member("gt-3", Some("gt-c10"))]);
    let of = |bench: &mut Bench, convoy| bench.read(|reader| names(&all(reader, &BEADS_BY_CONVOY, &[text(convoy)])));
    assert_eq!((of(&mut bench, "gt-c1"), of(&mut bench, "gt-c10")), (vec!["gt-1".into()], vec!["gt-3".into()]));
    put(&mut bench, [member("gt-1", None)]);
    assert!(of(&mut bench, "gt-c1").is_empty());
}

pub(crate) fn what_somebody_holds_moves_with_its_holder(site: &Site) {
    let mut bench = Bench::new(site);
    let held = |who: Option<&str>| BeadRow { assignee: who.map(str::to_owned), ..issue("gt-1") };
    for (who, nux, nobody) in [(Some("nux"), 1, 0), (Some("toast"), 0, 0), (Some(""), 0, 1), (None, 0, 0)] {
        put(&mut bench, [held(who)]);
        let count = |bench: &mut Bench, who| bench.read(|reader| all(reader, &BEADS_BY_ASSIGNEE, &[text(who)]).len());
        assert_eq!((count(&mut bench, "nux"), count(&mut bench, "")), (nux, nobody), "held by {who:?}");
    }
}

pub(crate) fn slung_beads_wait_in_queues_that_can_be_passed_over(site: &Site) {
    let mut bench = Bench::new(site);
    let slung = |name: &str, lane: &str, priority: u32| BeadRow {
        lane: Some(lane.to_owned()),
        slung_at: Some(at(1)),
        priority,
        ..issue(name)
    };
    put(
        &mut bench,
        [
            slung("gt-1", "a polecat", 3),
            slung("gt-2", "a polecat", 0),
            slung("gt-3", "a-b polecat", 2),
            BeadRow { lane: None, ..slung("gt-4", "", 0) },
            BeadRow { slung_at: None, ..slung("gt-5", "a polecat", 0) },
            slung("gt-6", "a refinery", 2),
        ],
    );
    assert_eq!(bench.read(|reader| names(&all(reader, &BEADS_SLUNG, &[]))), ["gt-2", "gt-1", "gt-6", "gt-3"]);
    // Behind every bead of a queue, and behind every queue whose name begins with "a ".
    for (lane, first) in [("a polecat", "gt-6"), ("a!", "gt-3")] {
        let end = Position(vec![text(lane), Value::Int(i64::MAX), Value::Int(i64::MAX), text("")]);
        let scan = Scan::new(&BEADS_SLUNG, vec![], 1).after(Some(end));
        assert_eq!(bench.read(|reader| names(&reader.scan(&scan).unwrap())), [first], "behind {lane}");
    }
}

pub(crate) fn beads_are_due_up_to_a_moment(site: &Site) {
    let mut bench = Bench::new(site);
    let waking = |name: &str, second: Option<i64>| BeadRow { wake_at: second.map(at), ..issue(name) };
    put(
        &mut bench,
        [waking("gt-1", Some(10)), waking("gt-2", Some(5)), waking("gt-3", None), waking("gt-4", Some(-3))],
    );
    for (now, due) in [(-4, &[][..]), (-3, &["gt-4"]), (5, &["gt-4", "gt-2"]), (100, &["gt-4", "gt-2", "gt-1"])] {
        let scan = Scan::new(&BEADS_DUE, vec![], 10).upto(Value::Int(at(now).as_micros()));
        assert_eq!(bench.read(|reader| names(&reader.scan(&scan).unwrap())), due, "at {now}");
        assert_eq!(bench.read(|reader| reader.count(&scan).unwrap()), due.len() as u64);
    }
}

pub(crate) fn a_dirty_bead_is_looked_at_once(site: &Site) {
    let mut bench = Bench::new(site);
    put(&mut bench, ["gt-1", "gt-2", "gt-3"].map(|name| BeadRow { dirty: true, ..issue(name) }));
    for left in [3, 2, 1, 0] {
        let dirty = bench.read(|reader| all(reader, &BEADS_DIRTY, &[]));
        assert_eq!(dirty.len(), left);
        if let Some(Row::Bead(first)) = dirty.into_iter().next() {
            put(&mut bench, [BeadRow { dirty: false, ..first }]);
        }
    }
    assert_eq!(bench.read(|reader| all(reader, &BEADS, &[])).len(), 3);
}

pub(crate) fn beads_are_found_by_their_labels(site: &Site) {
    let mut bench = Bench::new(site);
    let label = |bead: &str, label: &str| Row::Label(LabelRow { bead: id(bead), label: label.into() });
    let by_name = |bench: &mut Bench, label| bench.read(|reader| names(&all(reader, &LABELS_BY_NAME, &[text(label)])));
    assert!(by_name(&mut bench, "ui").is_empty());
    bench.write(|txn| {
        put_all(txn, &[label("gt-2", "ui"), label("gt-1", "ui"), label("gt-1", "api"), label("gt-3", "UI")]);
    });
    assert_eq!(by_name(&mut bench, "ui"), ["gt-1", "gt-2"]);
    assert_eq!(by_name(&mut bench, "UI"), ["gt-3"]);
    assert!(by_name(&mut bench, "u").is_empty());
    assert_eq!(bench.read(|reader| all(reader, &LABELS, &[text("gt-1")])).len(), 2);
    bench.write(|txn| txn.delete(&Key::label(&id("gt-1"), "ui")).unwrap());
    assert_eq!(by_name(&mut bench, "ui"), ["gt-2"]);
    assert_eq!(bench.read(|reader| all(reader, &LABELS, &[text("gt-1")])), [label("gt-1", "api")]);
}

pub(crate) fn a_deletion_takes_nothing_else_with_it(site: &Site) {
    let mut bench = Bench::new(site);
    let texts = Row::BeadText(BeadTextRow {
        id: id("gt-1"),
        description: "d".into(),
        design: String::new(),
        acceptance: String::new(),
        notes: String::new(),
    });
    let label = Row::Label(LabelRow { bead: id("gt-1"), label: "ui".into() });
    // Nothing of it needs its bead, neither when it is written nor later.
    bench.write(|txn| put_all(txn, &[texts.clone(), label.clone()]));
    put(&mut bench, [issue("gt-1"), issue("gt-2")]);
    bench.write(|txn| txn.delete(&Key::bead(&id("gt-1"))).unwrap());
    assert_eq!((bench.get(&texts.key()), bench.get(&label.key())), (Some(texts), Some(label)));
    assert_eq!(bench.read(|reader| names(&all(reader, &BEADS, &[]))), ["gt-2"]);
}

pub(crate) fn a_bead_that_comes_back_is_a_new_one(site: &Site) {
    let mut bench = Bench::new(site);
    put(&mut bench, [BeadRow { parent: Some(id("gt-9")), dirty: true, assignee: Some("nux".into()), ..issue("gt-1") }]);
    bench.write(|txn| txn.delete(&Key::bead(&id("gt-1"))).unwrap());
    put(&mut bench, [issue("gt-1")]);
    assert_eq!(bench.read(|reader| bead_of(reader, "gt-1")), issue("gt-1"));
    bench.read(|reader| {
        assert!(all(reader, &BEADS_BY_PARENT, &[text("gt-9")]).is_empty());
        assert!(all(reader, &BEADS_BY_ASSIGNEE, &[text("nux")]).is_empty());
        assert!(all(reader, &BEADS_DIRTY, &[]).is_empty());
    });
}
