//! Cases about databases that are older or newer than the backend, or not its own.

use super::kit::{Bench, append, code, events, rows};
use super::sample::Draw;
use super::{Planted, Site};
use crate::model::{ErrorKind, Head, RowKind};
use crate::store::{Access, Backend};

/// Both kinds of connection are refused, however often they are asked for.
fn refuses(backend: &dyn Backend, wanted: (&str, ErrorKind)) {
    for access in [Access::Write, Access::Read, Access::Write] {
        let error = backend.connect(access).map(drop).unwrap_err();
        assert_eq!((error.code(), error.kind()), wanted, "{}", error.chain());
    }
}

pub(crate) fn a_newer_schema_is_refused(site: &Site) {
    if let Some(backend) = site.subject.planted(Planted::Newer) {
        refuses(&*backend, ("schema_newer", ErrorKind::Unsupported));
    }
}

pub(crate) fn a_database_of_another_program_is_refused(site: &Site) {
    if let Some(backend) = site.subject.planted(Planted::Foreign) {
        refuses(&*backend, ("not_a_town", ErrorKind::Corrupt));
    }
}

pub(crate) fn every_older_schema_is_migrated_with_what_is_in_it(site: &Site) {
    let mut draw = Draw::new(121);
    let rows: Vec<_> = RowKind::ALL.iter().flat_map(|kind| rows(*kind, 5, &mut draw)).collect();
    let journal = events(&Head::default(), 10, 122);
    for older in site.subject.older(&rows, &journal) {
        let mut bench = Bench::of(older.backend);
        let schema = older.schema;
        for row in &rows {
            let wanted = older.rows.iter().find(|kept| kept.key() == row.key());
            assert_eq!(bench.get(&row.key()).as_ref(), wanted, "from schema {schema}");
        }
        assert_eq!(bench.read(|reader| reader.events(0, 100).unwrap()), journal, "from schema {schema}");
        // All of it can be written, what is new as well.
        bench.write(|txn| {
            rows.iter().for_each(|row| txn.put(row).unwrap());
            append(txn, 1);
        });
        assert!(rows.iter().all(|row| bench.get(&row.key()).as_ref() == Some(row)), "from schema {schema}");
        assert_eq!(bench.writer.check().unwrap(), Vec::<String>::new());
        assert_eq!(code(bench.writer.describe()), "ok");
    }
}

pub(crate) fn connecting_again_changes_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| append(txn, 3));
    let before = bench.read(|reader| reader.events(0, 10).unwrap());
    assert_eq!(before.len(), 3);
    let described = bench.reader.describe().unwrap();
    for access in [Access::Write, Access::Read, Access::Write, Access::Read] {
        let mut connection = site.backend().connect(access).unwrap();
        let again = connection.describe().unwrap();
        assert_eq!((again.schema, again.durability), (described.schema, described.durability));
    }
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), before);
}
