//! A town that an earlier build left, opened by this one.

#![cfg(feature = "sqlite")]

use std::path::Path;

use serde_json::json;

use super::Town;
use crate::model::{AgentName, BeadId, RigName, Scope, Timestamp, TownId};
use crate::store::{Access, Backend, SqliteBackend, SqliteOptions, make_older};
use crate::work::txn::Ctx;
use crate::work::upgrade::Upgrade;
use crate::work::view::View;
use crate::work::{command, miscount};
use crate::{All, EventsSince, GraphFilter, Link, ReadyFilter, RegisterAgent};

/// The last schema of a file whose rows are of the earlier form.
const OLDER: usize = 2;
/// So many beads that they are more than one batch.
const CHAIN: usize = 1_200;

/// A file of schema 2: a ship that waits for its keel, with a part and a part's part; a chain of blockers in the order that
/// ids are worst in; a part that waits for its own parent; a parent that only an edge names; labels.
fn older(path: &Path) {
    let db = make_older(path, OLDER);
    db.execute_batch("BEGIN; INSERT INTO town (town_id, id, created_at) VALUES ('town', 'town', 5)").unwrap();
    let bead = |id: &str, parent: Option<&str>, blockers: i64| {
        let sql = "INSERT INTO bead (town_id, id, kind, status, title, priority, issue_type, metadata, parent, \
                   created_by, slung, blockers, epoch, failures, outages, reworks, dirty, version, created_at, updated_at) \
                   VALUES ('town', ?1, 'issue', 'open', ?1, 2, 'task', '{}', ?2, 'me', 0, ?3, 0, 0, 0, 0, 0, 1, 7, 7)";
        db.execute(sql, rusqlite::params![id, parent, blockers]).unwrap();
    };
    let edge = |bead: &str, on: &str, kind: &str| {
        let sql = "INSERT INTO dependency (town_id, bead, on_bead, kind, counted, created_by, created_at) \
                   VALUES ('town', ?1, ?2, ?3, ?4, 'me', 7)";
        db.execute(sql, rusqlite::params![bead, on, kind, i64::from(kind != "parent-child")]).unwrap();
    };
    bead("hq-keel", None, 0);
    bead("hq-ship", None, 1);
    edge("hq-ship", "hq-keel", "blocks");
    bead("hq-ship.1", Some("hq-ship"), 0);
    edge("hq-ship.1", "hq-ship", "parent-child");
    bead("hq-ship.1.1", Some("hq-ship.1"), 0);
    edge("hq-ship.1.1", "hq-ship.1", "parent-child");
    bead("hq-loose", None, 0);
    edge("hq-loose", "hq-ship", "parent-child");
    bead("hq-crew", None, 0);
    bead("hq-crew.1", Some("hq-crew"), 1);
    edge("hq-crew.1", "hq-crew", "parent-child");
    edge("hq-crew.1", "hq-crew", "waits-for");
    for nth in 0..CHAIN {
        bead(&format!("hq-c{nth:05}"), None, i64::from(nth + 1 < CHAIN));
        if nth > 0 {
            edge(&format!("hq-c{:05}", nth - 1), &format!("hq-c{nth:05}"), "blocks");
        }
    }
    for label in ["wood", "blue"] {
        db.execute("INSERT INTO label (town_id, bead, label) VALUES ('town', 'hq-ship', ?1)", [label]).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

/// Takes so many steps, as a process does that is killed then; answers whether all were taken.
fn begin(path: &Path, steps: usize) -> bool {
    let mut connection = SqliteBackend::new(path, SqliteOptions::default()).connect(Access::Write).unwrap();
    let id = TownId::new("town").unwrap();
    let mut next = Some(Upgrade::default());
    for nth in 0..steps {
        let Some(upgrade) = next else { return true };
        let mut raw = connection.write(&id).unwrap();
        let ctx = Ctx::at(Timestamp::from_micros(9), nth as u64);
        next = command::step(&mut *raw, &ctx, "town.upgrade", |txn| upgrade.step(txn, &id)).unwrap();
        raw.commit().unwrap();
    }
    next.is_none()
}

#[tokio::test]
async fn a_town_of_schema_2_is_brought_to_the_present_form_wherever_that_was_interrupted() {
    let mut told = Vec::new();
    for steps in [0, 1, 3, 5, 8, 1_000] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("town.db");
        older(&path);
        assert_eq!(begin(&path, steps), steps == 1_000);
        let town = Town::builder(dir.path()).open().await.unwrap();
        let beads = town.operator().beads();
        let id = |text: &str| BeadId::new(text).unwrap();
        let mut counts = Vec::new();
        for name in ["hq-keel", "hq-ship", "hq-ship.1", "hq-ship.1.1", "hq-loose", "hq-crew.1"] {
            let bead = beads.get(id(name)).await.unwrap();
            counts.push((bead.blockers, bead.parent.map(|parent| parent.as_str().to_owned())));
        }
        assert_eq!(counts.iter().map(|count| count.0).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 0]);
        assert_eq!(counts[4].1.as_deref(), Some("hq-ship"), "the edge said so");
        assert_eq!(beads.get(id("hq-ship")).await.unwrap().labels, ["blue", "wood"]);
        let loose = beads.loose_edges(GraphFilter::default()).await.unwrap().edges;
        assert_eq!(loose.iter().map(|edge| edge.bead.as_str()).collect::<Vec<_>>(), ["hq-crew.1"]);

        let miscounted = town
            .shared
            .store
            .read(|reader| miscount::miscounted(View::new(reader, &Scope::Town, Timestamp::from_micros(9)), usize::MAX))
            .await
            .unwrap();
        assert_eq!(miscounted, []);
        let circle = beads.link(Link::blocks(id("hq-c01199"), id("hq-c00000"))).await.unwrap_err();
        assert_eq!(circle.code(), "cycle");
        let events = town.operator().events();
        let page = events.since(EventsSince { limit: Some(1_000), ..EventsSince::default() }).await.unwrap();
        let kinds: Vec<String> = page.events.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| *kind == "town.upgraded").count(), 1);
        assert!(kinds.iter().all(|kind| kind.starts_with("town.")), "{kinds:?}");
        let ready = beads.ready(ReadyFilter { limit: Some(1_000), ..ReadyFilter::default() }).await.unwrap().beads;
        told.push((counts, ready.into_iter().map(|bead| bead.id).collect::<Vec<_>>()));
        drop(town.operator().upkeep().check(All {}).await.unwrap());
        town.close().await.unwrap();
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A file of schema 3 with a rig and beads in it: slung, slung and finished, and not slung.
fn before_queues(path: &Path) {
    let db = make_older(path, 3);
    db.execute_batch(
        "BEGIN; INSERT INTO town (town_id, id, created_at, data_schema) VALUES ('town', 'town', 5, 3); \
         INSERT INTO rig (town_id, name, prefix, remote, target, state, created_at) \
         VALUES ('town', 'harbour', 'ha', '/harbour.git', 'main', 'active', 5)",
    )
    .unwrap();
    for (id, status, slung) in
        [("ha-late", "open", 1), ("ha-early", "open", 1), ("ha-done", "closed", 1), ("ha-calm", "open", 0)]
    {
        let created_at = if id == "ha-early" { 6 } else { 7 };
        let sql = "INSERT INTO bead (town_id, id, kind, status, title, priority, issue_type, metadata, rig, \
                   created_by, slung, blockers, epoch, failures, outages, reworks, dirty, version, created_at, \
                   updated_at, labels, pinned, ephemeral, template, rank, parts, open_parts, last_part, comments) \
                   VALUES ('town', ?1, 'issue', ?2, ?1, 2, 'task', '{}', 'harbour', 'me', ?3, 0, 0, 0, 0, 0, 0, 1, \
                   ?4, ?4, '[]', 0, 0, 0, ?4, 0, 0, 0, 0)";
        db.execute(sql, rusqlite::params![id, status, slung, created_at]).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

#[tokio::test]
async fn what_was_slung_in_a_town_of_schema_3_waits_in_its_queue_since_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    before_queues(&dir.path().join("town.db"));
    let town = Town::builder(dir.path()).open().await.unwrap();
    let operator = town.operator();
    for name in ["toast", "nux", "rust"] {
        let agent = RegisterAgent::polecat(AgentName::new(name).unwrap(), RigName::new("harbour").unwrap());
        operator.agents().register(agent).await.unwrap();
    }
    let starts = operator.sessions().plan(All {}).await.unwrap().starts;
    let starts: Vec<_> = starts.iter().map(|start| (start.bead.as_str(), start.slung_at.as_micros())).collect();
    assert_eq!(starts, [("ha-early", 6), ("ha-late", 7)]);
    let page = operator.events().since(EventsSince::default()).await.unwrap();
    let upgraded: Vec<_> = page.events.into_iter().filter(|event| event.kind == "town.upgraded").collect();
    assert_eq!(upgraded.iter().map(|event| &event.data).collect::<Vec<_>>(), [&json!({ "from": 3, "to": 5 })]);
    town.close().await.unwrap();
}
