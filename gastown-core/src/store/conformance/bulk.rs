//! Cases about much at once: rows, bytes, towns.

use std::sync::Arc;

use super::Site;
use super::kit::{Bench, all, append, id, issue, put_all, text, town};
use super::search::of as of_words;
use crate::model::{BeadRow, BeadTextRow, Key, Row, Timestamp, TownId, TownRow};
use crate::store::index::{BEADS, BEADS_BY_KIND, BEADS_READY};
use crate::store::{Access, Scan};

pub(crate) fn ten_thousand_rows_are_one_transaction(site: &Site) {
    let mut bench = Bench::new(site);
    let rows: Vec<Row> = (0..10_000).map(|number| Row::Bead(issue(&format!("gt-{number:05}")))).collect();
    let mut reader = site.backend().connect(Access::Read).unwrap();
    let mut txn = bench.writer.write(&town()).unwrap();
    put_all(&mut *txn, &rows);
    assert_eq!(reader.read(&town()).unwrap().count(&Scan::new(&BEADS, vec![], 1)).unwrap(), 0);
    txn.commit().unwrap();
    for (index, prefix) in [(&BEADS, vec![]), (&BEADS_READY, super::kit::ready())] {
        assert_eq!(bench.read(|reader| reader.count(&Scan::new(index, prefix.clone(), 1)).unwrap()), 10_000);
        assert!(bench.read(|reader| all(reader, index, &prefix)) == rows);
    }
    // Half of them go again, in one transaction as well.
    bench.write(|txn| rows.iter().step_by(2).for_each(|row| txn.delete(&row.key()).unwrap()));
    assert_eq!(bench.read(|reader| reader.count(&Scan::new(&BEADS_BY_KIND, vec![text("issue")], 1)).unwrap()), 5_000);
}

pub(crate) fn rows_that_are_put_together_are_those_that_are_put_in_turn(site: &Site) {
    let mut bench = Bench::new(site);
    let of = |number: usize| {
        let bead = BeadRow { title: format!("keel {number}"), ..issue(&format!("gt-{number:05}")) };
        let texts = BeadTextRow {
            id: bead.id.clone(),
            description: format!("oak{number}"),
            design: String::new(),
            acceptance: String::new(),
            notes: String::new(),
        };
        [Row::Bead(bead), Row::BeadText(texts)]
    };
    // Few and many, into an empty town and behind others, and twice in one transaction.
    for (first, last) in [(0, 3), (3, 700), (700, 1_400)] {
        let rows: Vec<Arc<Row>> = (first..last).flat_map(of).map(Arc::new).collect();
        let (some, others) = rows.split_at(rows.len() / 4 * 2);
        bench.write(|txn| {
            txn.put_new(some).unwrap();
            txn.put_new(others).unwrap();
            assert_eq!(txn.get(&rows[0].key()).unwrap().as_ref(), Some(&*rows[0]), "it is there at once");
        });
        for row in &rows {
            assert_eq!(bench.get(&row.key()).as_ref(), Some(&**row));
        }
        assert_eq!(bench.read(|reader| all(reader, &BEADS, &[])).len(), last);
    }
    // They are found and changed like all others.
    let found = |bench: &mut Bench, word: &str| {
        bench.read(|reader| reader.search(&of_words(word)).unwrap()).iter().map(Row::key).collect::<Vec<_>>()
    };
    assert!(found(&mut bench, "oak650").contains(&Key::bead(&id("gt-00650"))));
    let [Row::Bead(bead), _] = of(650) else { panic!("a bead comes first") };
    bench.write(|txn| txn.put(&Row::Bead(BeadRow { title: "mast".to_owned(), ..bead })).unwrap());
    assert!(found(&mut bench, "mast").contains(&Key::bead(&id("gt-00650"))));
    // What is dropped leaves nothing.
    let more: Vec<Arc<Row>> = (2_000..2_700).flat_map(of).map(Arc::new).collect();
    let dropped = bench.writer.write(&town()).map(|mut txn| txn.put_new(&more).unwrap());
    dropped.unwrap();
    assert_eq!(bench.get(&more[0].key()), None);
    assert!(!found(&mut bench, "oak2000").contains(&Key::bead(&id("gt-02000"))));
}

pub(crate) fn ten_megabytes_are_one_transaction(site: &Site) {
    let mut bench = Bench::new(site);
    let page = "a page of a long text, äß日\n".repeat(20_000);
    let texts: Vec<Row> = (0..20)
        .map(|number| {
            Row::BeadText(BeadTextRow {
                id: id(&format!("gt-{number:02}")),
                description: format!("{number}{page}"),
                design: String::new(),
                acceptance: String::new(),
                notes: number.to_string(),
            })
        })
        .collect();
    assert!(texts.len() * page.len() > 10 << 20);
    bench.write(|txn| {
        put_all(txn, &texts);
        append(txn, 1);
    });
    for row in &texts {
        assert!(bench.get(&row.key()).as_ref() == Some(row));
    }
    let dropped = bench.writer.write(&town()).map(|mut txn| {
        texts.iter().for_each(|row| txn.delete(&row.key()).unwrap());
    });
    dropped.unwrap();
    assert!(bench.get(&texts[19].key()).as_ref() == Some(&texts[19]));
}

pub(crate) fn fifty_towns_keep_to_themselves(site: &Site) {
    let mut bench = Bench::new(site);
    let towns: Vec<TownId> = (0..50).map(|number| TownId::new(format!("town-{number}")).unwrap()).collect();
    for (number, town) in towns.iter().enumerate() {
        bench.write_in(town, |txn| {
            for bead in 0..=number % 7 {
                let title = format!("of {town}");
                txn.put(&Row::Bead(BeadRow { title, ..issue(&format!("gt-{bead}")) })).unwrap();
            }
            append(txn, number + 1);
        });
    }
    for (number, town) in towns.iter().enumerate() {
        bench.read_in(town, |reader| {
            let beads = all(reader, &BEADS, &[]);
            assert_eq!((beads.len(), reader.head().unwrap().seq), (number % 7 + 1, number as u64 + 1), "{town}");
            assert!(beads.iter().all(|row| matches!(row, Row::Bead(bead) if bead.title == format!("of {town}"))));
            assert_eq!(reader.count(&Scan::new(&BEADS_READY, super::kit::ready(), 1)).unwrap(), beads.len() as u64);
            assert_eq!(reader.events(0, 100).unwrap().len(), number + 1);
        });
    }
}

pub(crate) fn a_database_names_its_towns(site: &Site) {
    let mut bench = Bench::new(site);
    if bench.reader.towns(10).unwrap().is_none() {
        return;
    }
    let towns: Vec<TownId> = ["abbey", "harbour", "mill"].map(|name| TownId::new(name).unwrap()).to_vec();
    for (place, town) in towns.iter().enumerate().rev() {
        assert_eq!(bench.reader.towns(10).unwrap().as_deref(), Some(&towns[place + 1..]));
        let row = Row::Town(TownRow {
            id: town.clone(),
            created_at: Timestamp::from_micros(1),
            data_schema: 0,
            paused_reason: None,
            paused_until: None,
        });
        bench.write_in(town, |txn| txn.put(&row).unwrap());
    }
    // Rows alone make no town.
    bench.write_in(&TownId::new("field").unwrap(), |txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    assert_eq!(bench.reader.towns(10).unwrap().as_deref(), Some(&towns[..]));
    assert_eq!(bench.writer.towns(2).unwrap().as_deref(), Some(&towns[..2]));
    let town = towns[0].clone();
    bench.write_in(&towns[0], |txn| txn.delete(&Key::town(&town)).unwrap());
    assert_eq!(bench.reader.towns(10).unwrap().as_deref(), Some(&towns[1..]));
}

pub(crate) fn towns_of_like_names_are_apart(site: &Site) {
    let mut bench = Bench::new(site);
    let longest = "t".repeat(63);
    let towns = ["a", "a-", "a-b", "a_b", "ab", "aa", "0", "00", "town", "town1", longest.as_str()];
    let towns = towns.map(|name| TownId::new(name).unwrap());
    for town in &towns {
        bench.write_in(town, |txn| {
            txn.put(&Row::Bead(BeadRow { title: town.to_string(), ..issue("gt-1") })).unwrap();
        });
    }
    // What is removed from one stays in the others.
    bench.write_in(&towns[0], |txn| txn.delete(&Key::bead(&id("gt-1"))).unwrap());
    for (number, town) in towns.iter().enumerate() {
        let found = bench.read_in(town, |reader| reader.get(&Key::bead(&id("gt-1"))).unwrap());
        let title = found.map(|row| if let Row::Bead(bead) = row { bead.title } else { String::new() });
        assert_eq!(title, (number > 0).then(|| town.to_string()));
    }
}

pub(crate) fn a_count_of_every_part_is_the_count_of_the_whole(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        for number in 0..300_u32 {
            txn.put(&Row::Bead(BeadRow { priority: number % 5, ..issue(&format!("gt-{number:03}")) })).unwrap();
        }
    });
    let whole = Scan::new(&BEADS_READY, super::kit::ready(), 1);
    bench.read(|reader| {
        assert_eq!(reader.count(&whole).unwrap(), 300);
        let mut left = 300;
        for priority in 0..5 {
            let upto = whole.clone().upto(crate::model::value::Value::Int(priority));
            assert_eq!(reader.count(&upto).unwrap(), 60 * (u64::try_from(priority).unwrap() + 1));
            let last = Scan { limit: 1_000, ..upto };
            let last = reader.scan(&last).unwrap().pop().unwrap();
            left -= 60;
            let behind = whole.clone().after(Some(crate::store::Position::of(&BEADS_READY, &last)));
            assert_eq!(reader.count(&behind).unwrap(), left);
        }
    });
}

pub(crate) fn a_thousand_small_transactions_are_all_there(site: &Site) {
    let mut bench = Bench::new(site);
    for number in 0..1_000 {
        bench.write(|txn| {
            txn.put(&Row::Bead(issue(&format!("gt-{number:04}")))).unwrap();
            append(txn, 1);
        });
    }
    assert_eq!(bench.read(|reader| all(reader, &BEADS, &[]).len()), 1_000);
    assert_eq!(bench.head().seq, 1_000);
}
