//! Two beads that have one id.

use std::fs;

use gastown_core::NewBead;
use serde_json::json;

use super::{Side, id, issue};

#[tokio::test]
async fn two_beads_that_took_one_id_are_both_kept() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    beads.create(NewBead { id: Some(id("hq-1")), ..NewBead::titled("Mine") }).await.unwrap();
    beads
        .create(NewBead { id: Some(id("hq-5")), depends_on: vec![id("hq-1")], ..NewBead::titled("Waits") })
        .await
        .unwrap();
    fs::write(side.file(), issue("hq-1", &json!({ "title": "Theirs" }))).unwrap();
    let report = side.sync().await;
    assert!(report.chosen.iter().any(|choice| choice.code == "id_relocated"), "{report:?}");
    assert_eq!(beads.get(id("hq-1")).await.unwrap().title, "Theirs");
    assert_eq!(beads.get(id("hq-2")).await.unwrap().title, "Mine");
    assert_eq!(side.line("hq-2").unwrap()["title"], "Mine");
    assert_eq!(
        side.line("hq-5").unwrap()["dependencies"][0]["depends_on_id"],
        "hq-2",
        "what was said about it follows"
    );
    side.is_at_rest().await;
    side.ends().await;
}
