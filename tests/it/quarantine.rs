//! Rows that cannot be read: they stop nobody, and an operator sees them, brings them back mended, or gives them up.

use std::path::Path;
use std::sync::Arc;

use gastown_core::model::value::{Raw, Value};
use gastown_core::model::{BeadId, DependencyKind, Key, RigName, RowKind, TownId};
use gastown_core::store::postgres::testing::TestServer;
use gastown_core::store::{Access, Backend, MemoryBackend, PostgresBackend, SqliteBackend, SqliteOptions};
use gastown_core::{
    AddRig, All, Bead, BeadFilter, ErrorKind, GraphFilter, Handle, Link, MendRow, NewBead, QuarantineFilter,
    QuarantineRef, QuarantinedRow, ReasonKind, Town, WaitReason,
};
use serde_json::json;

use crate::support::origin;

/// A town and the database it is in.
struct Place {
    town: Town,
    backend: Arc<dyn Backend>,
    dir: tempfile::TempDir,
}

impl Place {
    async fn on(backend: impl FnOnce(&Path) -> Arc<dyn Backend>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("town")).unwrap();
        let backend = backend(&dir.path().join("town"));
        let town = Town::builder(dir.path().join("town")).backend(Arc::clone(&backend)).open().await.unwrap();
        Self { town, backend, dir }
    }

    /// One on each backend.
    async fn all() -> Vec<Self> {
        let url = TestServer::shared().fresh_url();
        vec![
            Self::on(|_| Arc::new(MemoryBackend::new())).await,
            Self::on(|dir| Arc::new(SqliteBackend::new(dir.join("town.db"), SqliteOptions::default()))).await,
            Self::on(|_| Arc::new(PostgresBackend::new(&url).unwrap())).await,
        ]
    }

    async fn bead(&self, title: &str) -> Bead {
        self.town.operator().beads().create(NewBead::titled(title)).await.unwrap()
    }

    /// Writes this into a column of a stored row, as another program would.
    async fn damage(&self, key: Key, column: &'static str, value: Value) {
        let backend = Arc::clone(&self.backend);
        let town = self.town.id().clone();
        // A connection to Postgres is for plain threads.
        let (done, is_done) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            set(&*backend, &town, &key, column, value);
            let _ = done.send(());
        });
        is_done.await.expect("it is damaged");
    }

    async fn quarantine(&self) -> Vec<QuarantinedRow> {
        let done = self.town.operator().upkeep().quarantine(All {}).await.unwrap();
        assert_eq!((done.left, done.has_more), (vec![], false), "on {}", self.backend.name());
        done.rows
    }

    /// Nothing is wrong with what is left.
    async fn is_sound(&self) {
        let checked = self.town.operator().upkeep().check(All {}).await.unwrap();
        assert_eq!(checked.findings, [], "on {}", self.backend.name());
        assert_eq!(self.town.replay().await.unwrap().differences, Vec::<String>::new(), "on {}", self.backend.name());
    }
}

fn set(backend: &dyn Backend, town: &TownId, key: &Key, column: &str, value: Value) {
    let mut connection = backend.connect(Access::Write).unwrap();
    let mut txn = connection.write(town).unwrap();
    let values = txn.values(key).unwrap().expect("it is there").into_iter();
    let mut values: Vec<Value> = values
        .map(|raw| match raw {
            Raw::Value(value) => value,
            Raw::Bytes(bytes) => panic!("{bytes:?}"),
        })
        .collect();
    values[key.kind.position(column).unwrap()] = value;
    txn.put_values(key.kind, &values).unwrap();
    txn.commit().unwrap();
}

/// What a bead's edges wait for, and why.
async fn waits_for(handle: &Handle, bead: &BeadId) -> Vec<(Option<BeadId>, Option<WaitReason>)> {
    let explained = handle.beads().explain(bead).await.unwrap();
    assert!(!explained.is_ready);
    let edges = explained.reasons.into_iter().filter(|reason| reason.reason == ReasonKind::Edge);
    edges.map(|edge| (edge.other, edge.why)).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_taken_out_and_comes_back_mended() {
    for place in Place::all().await {
        let (operator, name) = (place.town.operator(), place.backend.name());
        let keel = place.bead("Lay the keel").await;
        let mast = place.bead("Raise the mast").await;
        operator.beads().link(Link::blocks(mast.id.clone(), keel.id.clone())).await.unwrap();
        assert_eq!(place.quarantine().await, [], "all is well");

        place.damage(Key::bead(&keel.id), "metadata", text("{wibble")).await;
        let error = operator.beads().get(&keel.id).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("row_unreadable", ErrorKind::Corrupt));
        let waiting = [(Some(keel.id.clone()), Some(WaitReason::Unreadable))];
        assert_eq!(waits_for(&operator, &mast.id).await, waiting);
        let [row] = &*place.quarantine().await else { panic!("one row was taken out of {name}") };
        assert_eq!((row.table.as_str(), &row.key), ("bead", &json!([keel.id])));
        assert_eq!((&row.columns["metadata"], &row.columns["title"]), (&json!("{wibble"), &json!("Lay the keel")));
        assert_eq!(row.columns.len(), RowKind::Bead.columns().len());
        assert!(row.problem.contains("metadata"), "{}", row.problem);
        assert_eq!(row.moved_by, "operator");
        assert_eq!(place.quarantine().await, [], "it is not there any more");
        assert_eq!(operator.beads().get(&keel.id).await.unwrap_err().code(), "bead_missing");
        let health = place.town.health().await.unwrap();
        assert_eq!((health.quarantined, health.unreadable), (1, vec![]));
        assert_eq!(place.town.replay().await.unwrap().differences, Vec::<String>::new(), "the journal knows");
        assert_eq!(operator.beads().get(&mast.id).await.unwrap().blockers, 1, "what waited for it waits");
        place.is_sound().await;
        assert_eq!(waits_for(&operator, &mast.id).await, waiting, "and can say for what");
        assert_eq!(operator.beads().loose_edges(GraphFilter::default()).await.unwrap().edges, []);
        let listed = operator.upkeep().quarantined(QuarantineFilter::default()).await.unwrap();
        assert_eq!((&listed.rows, &listed.cursor), (&vec![row.clone()], &None));

        // As it is, it makes no row; nor does it with a column that is none.
        let refused = operator.upkeep().mend(row).await.unwrap_err();
        assert_eq!((refused.code(), refused.kind()), ("row_still_unreadable", ErrorKind::Invalid));
        assert_eq!(refused.fact("column"), Some("metadata"));
        let with = |column: &str, value| MendRow {
            id: row.id.clone(),
            columns: [(column.to_owned(), value)].into_iter().collect(),
        };
        let refused = operator.upkeep().mend(with("meta", json!("{}"))).await.unwrap_err();
        assert_eq!((refused.code(), refused.fact("column")), ("column_unknown", Some("\"meta\"")));
        let refused = operator.upkeep().mend(with("metadata", json!(["{}"]))).await.unwrap_err();
        assert_eq!(refused.code(), "row_still_unreadable");
        assert_eq!(operator.upkeep().mend("none").await.unwrap_err().code(), "row_missing");

        let keyed = operator.with_key("once");
        assert_eq!(keyed.upkeep().mend(with("metadata", json!("{}"))).await.unwrap(), *row);
        assert_eq!(keyed.upkeep().mend(with("metadata", json!("{}"))).await.unwrap(), *row, "a repeat");
        let back = operator.beads().get(&keel.id).await.unwrap();
        assert_eq!((back.title.as_str(), back.status, back.created_at), ("Lay the keel", keel.status, keel.created_at));
        assert_eq!(place.town.health().await.unwrap().quarantined, 0);
        place.is_sound().await;
        let closed = operator.beads().close(&keel.id).await.unwrap();
        assert_eq!(closed.unblocked, std::slice::from_ref(&mast.id), "it counts as it did");
        place.is_sound().await;
        place.town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_keeps_no_rig_from_its_other_beads() {
    for place in Place::all().await {
        let operator = place.town.operator();
        let rig: RigName = "harbour".parse().unwrap();
        let remote = origin(place.dir.path());
        operator.rigs().add(AddRig::new(rig.clone(), remote.to_str().unwrap())).await.unwrap();
        let make = async |title: &str| {
            let new = NewBead { labels: vec!["wood".to_owned()], ..NewBead::titled(title).in_rig(rig.clone()) };
            operator.beads().create(new).await.unwrap().id
        };
        let (keel, mast, sail) = (make("keel").await, make("mast").await, make("sail").await);
        operator.beads().link(Link::blocks(mast.clone(), keel.clone())).await.unwrap();
        operator.beads().link(Link::blocks(sail.clone(), mast.clone())).await.unwrap();
        place.damage(Key::bead(&keel), "metadata", text("{wibble")).await;

        let narrow = place.town.rig(rig).beads();
        let edges = narrow.edges(&mast).await.unwrap();
        assert_eq!((edges.depends_on.len(), edges.dependents.len()), (0, 1), "on {}", place.backend.name());
        for beads in [&narrow, &operator.beads()] {
            let wooden = BeadFilter { labels: vec!["wood".to_owned()], ..BeadFilter::default() };
            let listed = beads.list(wooden).await.unwrap().beads;
            let titles: Vec<_> = listed.iter().map(|bead| bead.title.as_str()).collect();
            assert_eq!(titles, ["mast", "sail"], "on {}", place.backend.name());
            let blocked = beads.blocked(GraphFilter::default()).await.unwrap().blocked;
            assert_eq!(blocked.len(), 2, "on {}", place.backend.name());
        }
        let wanted = narrow.get(&keel).await.unwrap_err();
        assert_eq!((wanted.code(), wanted.kind()), ("row_unreadable", ErrorKind::Corrupt));
        assert_eq!(place.town.health().await.unwrap().unreadable.len(), 1, "it is told");
        place.town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moved_meanwhile_is_followed_when_a_bead_comes_back() {
    for place in Place::all().await {
        let beads = place.town.operator().beads();
        let (a, b, c) = (place.bead("a").await.id, place.bead("b").await.id, place.bead("c").await.id);
        let part = beads.create(NewBead { parent: Some(b.clone()), ..NewBead::titled("part") }).await.unwrap().id;
        beads.link(Link::blocks(a.clone(), b.clone())).await.unwrap();
        beads.link(Link::blocks(b.clone(), c.clone())).await.unwrap();
        place.damage(Key::bead(&b), "metadata", text("")).await;
        let [row] = &*place.quarantine().await else { panic!("one row") };
        // While it is away: its part is closed, what it waits for too, and a circle through it is closed.
        beads.close(&part).await.unwrap();
        beads.link(Link::blocks(c.clone(), a.clone())).await.unwrap();
        let mend =
            MendRow { id: row.id.clone(), columns: [("metadata".to_owned(), json!("{}"))].into_iter().collect() };
        place.town.operator().upkeep().mend(mend).await.unwrap();
        let back = beads.get(&b).await.unwrap();
        assert_eq!((back.parts, back.open_parts), (1, 0));
        let loose = beads.loose_edges(GraphFilter::default()).await.unwrap();
        assert_eq!(loose.edges.len(), 1, "one of the circle's edges counts for nothing: {loose:?}");
        place.is_sound().await;
        place.town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_given_up_frees_what_waited_for_it() {
    for place in Place::all().await {
        let operator = place.town.operator();
        let beads = operator.beads();
        let ship = place.bead("ship").await.id;
        let new = NewBead { parent: Some(ship.clone()), labels: vec!["hull".into()], ..NewBead::titled("keel") };
        let keel = beads.create(new).await.unwrap().id;
        let mast = place.bead("mast").await.id;
        beads.link(Link::blocks(mast.clone(), keel.clone())).await.unwrap();
        place.damage(Key::bead(&keel), "metadata", text("[")).await;
        let [row] = &*place.quarantine().await else { panic!("one row") };
        let gone = operator.upkeep().discard(row).await.unwrap();
        assert_eq!(gone, *row);
        assert_eq!(operator.upkeep().discard(QuarantineRef::from(&*row.id)).await.unwrap_err().code(), "row_missing");
        assert_eq!(beads.get(&mast).await.unwrap().blockers, 0);
        let ship = beads.get(&ship).await.unwrap();
        assert_eq!((ship.parts, ship.open_parts), (0, 0));
        place.is_sound().await;
        let history = operator.events().since(gastown_core::EventsSince { since: 0, limit: Some(100) }).await.unwrap();
        let held = history.events.iter().find(|event| event.kind == "row.quarantined").unwrap();
        let kept = held.changes.iter().find_map(|change| change.row.as_ref()).unwrap();
        assert!(kept["columns"].as_str().unwrap().contains("\"title\":\"keel\""), "the journal keeps what it was");

        // An edge that nobody can read blocks until it is given up.
        let sails = place.bead("sails").await.id;
        beads.link(Link::blocks(sails.clone(), mast.clone())).await.unwrap();
        place.damage(Key::dependency(&sails, &mast, DependencyKind::Blocks), "extra", text("{")).await;
        let [row] = &*place.quarantine().await else { panic!("one row") };
        assert_eq!(beads.get(&sails).await.unwrap().blockers, 1);
        operator.upkeep().discard(row).await.unwrap();
        assert_eq!(beads.get(&sails).await.unwrap().blockers, 0);
        place.is_sound().await;
        place.town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_comes_back_as_things_are_by_then() {
    for place in Place::all().await {
        let beads = place.town.operator().beads();
        let (keel, mast) = (place.bead("keel").await.id, place.bead("mast").await.id);
        beads.link(Link::blocks(mast.clone(), keel.clone())).await.unwrap();
        place.damage(Key::dependency(&mast, &keel, DependencyKind::Blocks), "extra", text("nothing")).await;
        let [row] = &*place.quarantine().await else { panic!("one row") };
        beads.close(&keel).await.unwrap();
        let columns = [("extra".to_owned(), json!(null))].into_iter().collect();
        place.town.operator().upkeep().mend(MendRow { id: row.id.clone(), columns }).await.unwrap();
        assert_eq!(beads.get(&mast).await.unwrap().blockers, 0, "the keel is done");
        place.is_sound().await;
        place.town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_place_was_taken_does_not_come_back_over_it() {
    let place = Place::on(|_| Arc::new(MemoryBackend::new())).await;
    let beads = place.town.operator().beads();
    let keel = place.bead("keel").await.id;
    place.damage(Key::bead(&keel), "metadata", text("?")).await;
    let [row] = &*place.quarantine().await else { panic!("one row") };
    let other = NewBead { id: Some(keel.clone()), ..NewBead::titled("another keel") };
    beads.create(other).await.unwrap();
    let columns = [("metadata".to_owned(), json!("{}"))].into_iter().collect();
    let mend = MendRow { id: row.id.clone(), columns };
    let refused = place.town.operator().upkeep().mend(mend.clone()).await.unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("row_exists", ErrorKind::Conflict));
    let mut renamed = mend;
    renamed.columns.insert("id".to_owned(), json!("gt-again"));
    place.town.operator().upkeep().mend(renamed).await.unwrap();
    let titles: Vec<_> =
        beads.list(BeadFilter::default()).await.unwrap().beads.into_iter().map(|bead| bead.title).collect();
    assert_eq!(titles, ["keel", "another keel"]);
    place.is_sound().await;
    place.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_rows_are_taken_out_and_listed_in_pages() {
    let place = Place::on(|_| Arc::new(MemoryBackend::new())).await;
    for n in 0..130 {
        let bead = place.bead(&n.to_string()).await;
        place.damage(Key::bead(&bead.id), "metadata", text("x")).await;
    }
    let upkeep = place.town.operator().upkeep();
    let first = upkeep.quarantine(All {}).await.unwrap();
    assert!(first.has_more && first.rows.len() >= 100, "{}", first.rows.len());
    let second = upkeep.quarantine(All {}).await.unwrap();
    assert_eq!((first.rows.len() + second.rows.len(), second.has_more), (130, false));
    let (mut cursor, mut ids) = (None, Vec::new());
    loop {
        let page = upkeep.quarantined(QuarantineFilter { limit: Some(40), cursor }).await.unwrap();
        ids.extend(page.rows.into_iter().map(|row| row.id));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((ids.len(), ids.is_sorted()), (130, true));
    assert_eq!(place.town.health().await.unwrap().quarantined, 130);
    place.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_quarantine_goes_with_the_town() {
    let place = Place::on(|dir| Arc::new(SqliteBackend::new(dir.join("town.db"), SqliteOptions::default()))).await;
    let keel = place.bead("keel").await.id;
    place.damage(Key::bead(&keel), "metadata", text("\u{0}{")).await;
    let rows = place.quarantine().await;
    let (dump, copy) = (place.dir.path().join("town.jsonl"), place.dir.path().join("copy"));
    let exported = place.town.operator().upkeep().export(&*dump).await.unwrap();
    assert_eq!(exported.unreadable, 0);
    place.town.backup(&*copy).await.unwrap();
    for (from, to) in [(dump, "a"), (copy, "b")] {
        let again = Town::builder(place.dir.path().join(to)).restore(from).await.unwrap();
        let upkeep = again.operator().upkeep();
        assert_eq!(upkeep.quarantined(QuarantineFilter::default()).await.unwrap().rows, rows);
        let columns = [("metadata".to_owned(), json!("{}"))].into_iter().collect();
        upkeep.mend(MendRow { id: rows[0].id.clone(), columns }).await.unwrap();
        assert_eq!(again.operator().beads().get(&keel).await.unwrap().title, "keel");
        assert_eq!(again.replay().await.unwrap().differences, Vec::<String>::new());
        again.close().await.unwrap();
    }
    place.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_kept_as_they_are() {
    let place = Place::on(|dir| Arc::new(SqliteBackend::new(dir.join("town.db"), SqliteOptions::default()))).await;
    let keel = place.bead("keel").await.id;
    let file = place.dir.path().join("town/town.db");
    let id = keel.to_string();
    let spoil = move || {
        let db = rusqlite::Connection::open(file).unwrap();
        db.execute("UPDATE bead SET title = CAST(x'6bff65' AS TEXT) WHERE id = ?1", [id]).unwrap();
    };
    tokio::task::spawn_blocking(spoil).await.unwrap();
    let [row] = &*place.quarantine().await else { panic!("one row") };
    assert_eq!(row.columns["title"], json!({ "hex": "6bff65" }));
    assert_eq!(place.town.operator().upkeep().mend(row).await.unwrap_err().fact("column"), Some("title"));
    let columns = [("title".to_owned(), json!("keel"))].into_iter().collect();
    place.town.operator().upkeep().mend(MendRow { id: row.id.clone(), columns }).await.unwrap();
    assert_eq!(place.town.operator().beads().get(&keel).await.unwrap().title, "keel");
    place.is_sound().await;
    place.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_town_whose_own_row_cannot_be_read_opens() {
    let backend = MemoryBackend::new();
    let place = Place::on(|_| Arc::new(backend.clone())).await;
    let keel = place.bead("keel").await.id;
    place.damage(Key::town(place.town.id()), "created_at", text("yesterday")).await;
    place.town.close().await.unwrap();
    let again = Town::builder(place.dir.path().join("town")).backend(Arc::new(backend)).open().await.unwrap();
    assert_eq!(again.operator().beads().get(&keel).await.unwrap().title, "keel");
    let rows = again.operator().upkeep().quarantined(QuarantineFilter::default()).await.unwrap().rows;
    assert_eq!((rows[0].table.as_str(), &rows[0].columns["created_at"]), ("town", &json!("yesterday")));
    assert_eq!(again.replay().await.unwrap().differences, Vec::<String>::new());
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_read_leads_to_an_epoch_that_nobody_had() {
    let backend = MemoryBackend::new();
    let place = Place::on(|_| Arc::new(backend.clone())).await;
    for _ in 0..3 {
        place.town.start().await.unwrap();
        place.town.stop().await.unwrap();
    }
    place.damage(Key::leader(), "epoch", text("four")).await;
    assert_eq!(place.town.start().await.unwrap_err().code(), "row_unreadable");
    place.quarantine().await;
    place.town.start().await.unwrap();
    let all = gastown_core::EventsSince { since: 0, limit: Some(100) };
    let events = place.town.operator().events().since(all).await.unwrap().events;
    let led = events.iter().filter(|event| event.kind == "engine.leader");
    let epochs: Vec<_> = led.map(|event| event.data["epoch"].as_i64().unwrap()).collect();
    assert_eq!(epochs[..3], [1, 2, 3]);
    assert!(epochs[3] > 4, "the one that was lost may have been any: {epochs:?}");
    place.town.close().await.unwrap();
}
