//! What is counted and measured of a town at work, by the library itself and by the recorder of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use gastown_core::runtime::conformance::until;
use gastown_core::{All, Metric, MetricKind, MetricValue, Metrics, NewBead, PauseTown, Town, metrics as every_metric};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::json;

use crate::support::{Yard, open, sh};

/// Makes one commit.
const WORK: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"; git add -A; git commit -q -m "$GASTOWN_TITLE""#;

async fn metrics(town: &Town) -> Metrics {
    town.operator().upkeep().metrics(All {}).await.unwrap()
}

/// The values of a metric by the values of its labels.
fn of(metrics: &Metrics, name: &str) -> BTreeMap<Vec<String>, MetricValue> {
    let found = metrics.metrics.iter().filter(|value| value.name == name);
    found.map(|value| (value.labels.values().cloned().collect(), value.clone())).collect()
}

/// The count or state of a metric with these labels, in the order of their names; none where there is none.
fn value(metrics: &Metrics, name: &str, labels: &[&str]) -> Option<f64> {
    let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
    of(metrics, name).remove(&labels).and_then(|found| found.value)
}

/// How many lengths were measured of a metric, over all labels.
fn measured(metrics: &Metrics, name: &str) -> u64 {
    of(metrics, name).values().filter_map(|found| found.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bead_from_its_sling_to_its_landing_is_counted_and_measured() {
    let recorder = DebuggingRecorder::new();
    let told = recorder.snapshotter();
    recorder.install().expect("no other test of this process has one");
    let yard = Yard::new(WORK, [("gate.command", sh("true"))]).await;
    let town = yard.town.clone();
    let bead = yard.sling("lay the keel").await;
    yard.merged(&bead).await;
    yard.at_rest().await;
    assert_eq!(
        town.operator()
            .beads()
            .get("hq-none".parse::<gastown_core::model::BeadId>().unwrap())
            .await
            .unwrap_err()
            .code(),
        "bead_missing"
    );

    // What a transaction came to is counted behind its commit.
    until("everything is counted", async || {
        let now = metrics(&town).await;
        let done = |effect: &str| value(&now, "gastown_effects_total", &[effect, "done"]).is_some();
        done("cleanup")
            && done("land")
            && measured(&now, "gastown_bead_closed_after_seconds") > 0
            && measured(&now, "gastown_session_duration_seconds") > 0
    })
    .await;
    let now = metrics(&town).await;
    assert_eq!(value(&now, "gastown_commands_total", &["beads.sling", "ok"]), Some(1.0));
    assert_eq!(value(&now, "gastown_commands_total", &["beads.get", "not_found"]), Some(1.0));
    assert_eq!(value(&now, "gastown_commands_total", &["rigs.add", "ok"]), Some(1.0), "once, not once more within");
    for effect in ["start", "publish", "merge", "gate", "land", "cleanup"] {
        assert_eq!(value(&now, "gastown_effects_total", &[effect, "done"]), Some(1.0), "{effect}");
        let lengths = of(&now, "gastown_effect_duration_seconds");
        assert!(lengths[&vec![effect.to_owned()]].count.is_some_and(|count| count >= 1), "{effect}");
    }
    assert_eq!(value(&now, "gastown_sessions_ended_total", &["succeeded"]), Some(1.0));
    assert_eq!(value(&now, "gastown_rules_fired_total", &["session.planned"]), None, "the sling started it itself");
    assert!(value(&now, "gastown_ticks_total", &["ok"]).is_some_and(|ticks| ticks >= 4.0));
    assert!(measured(&now, "gastown_tick_duration_seconds") >= 4);
    for (name, count) in [("gastown_sling_to_running_seconds", 1), ("gastown_session_duration_seconds", 1)] {
        let [found] = &of(&now, name).into_values().collect::<Vec<_>>()[..] else { panic!("{name}") };
        assert_eq!(found.count, Some(count), "{name}");
        assert!(found.sum.is_some_and(|sum| sum > 0.0 && sum < 120.0), "{found:?}");
        assert_eq!(found.buckets.last().map(|bucket| bucket.count), Some(count));
    }
    let closed = of(&now, "gastown_bead_closed_after_seconds");
    assert_eq!(closed[&vec!["issue".to_owned()]].count, Some(1));
    assert!(
        measured(&now, "gastown_commit_duration_seconds") > 5 && measured(&now, "gastown_command_wait_seconds") > 5
    );
    for (name, labels, wanted) in [
        ("gastown_leader", &[][..], 1.0),
        ("gastown_active_sessions", &["polecat"], 0.0),
        ("gastown_beads", &["ready"], 0.0),
        ("gastown_beads", &["claimed"], 0.0),
        ("gastown_outbox_effects", &["planned"], 0.0),
        ("gastown_merge_queue_depth", &[], 0.0),
    ] {
        assert_eq!(value(&now, name, labels), Some(wanted), "{name} {labels:?}");
    }
    // The engine may be asking for its next look just then.
    assert!(value(&now, "gastown_write_queue_depth", &[]).is_some_and(|depth| depth <= 2.0));
    // The recorder of the host heard the same, by then or since.
    let told: BTreeMap<(String, BTreeMap<String, String>), DebugValue> = told
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let (_, key) = key.into_parts();
            let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
            ((key.name().to_owned(), labels), value)
        })
        .collect();
    for value in &now.metrics {
        let heard = told.get(&(value.name.clone(), value.labels.clone()));
        let heard = heard.unwrap_or_else(|| panic!("nobody told of {value:?}"));
        match (value.kind, heard) {
            (MetricKind::Counter, DebugValue::Counter(count)) => {
                #[allow(clippy::cast_precision_loss, reason = "a test counts no further")]
                let count = *count as f64;
                assert!(value.value.is_some_and(|value| count >= value), "{value:?}");
            }
            (MetricKind::Gauge, DebugValue::Gauge(_)) => {}
            (MetricKind::Histogram, DebugValue::Histogram(all)) => {
                assert!(value.count.is_some_and(|count| all.len() as u64 >= count), "{value:?}");
            }
            (kind, heard) => panic!("{}: {kind:?} and {heard:?}", value.name),
        }
    }
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_waits_and_is_given_up_is_counted_by_its_kind() {
    let settings = [("agent.command", json!(["no-such-program"])), ("breaker.failures", json!(2))];
    let yard = Yard::new("", settings).await;
    yard.sling("lay the keel").await;
    until("the breaker is counted", async || {
        let now = metrics(&yard.town).await;
        value(&now, "gastown_breaker_trips_total", &["rig"]).is_some()
            && value(&now, "gastown_sessions_ended_total", &["refused"]).is_some_and(|count| count >= 2.0)
            && value(&now, "gastown_rules_fired_total", &["session.planned"]).is_some_and(|count| count >= 1.0)
    })
    .await;
    assert_eq!(value(&metrics(&yard.town).await, "gastown_beads", &["slung"]), Some(1.0));
    yard.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_is_tried_again_and_given_up_is_counted_as_both() {
    let yard = Yard::new(WORK, []).await;
    std::fs::remove_dir_all(&yard.origin).unwrap();
    yard.sling("lay the keel").await;
    until("an effect is given up", async || {
        let now = metrics(&yard.town).await;
        let sum = |name: &str| of(&now, name).values().filter_map(|found| found.value).sum::<f64>();
        sum("gastown_effect_retries_total") >= 1.0 && sum("gastown_dead_letters_total") >= 1.0
    })
    .await;
    let effects = of(&metrics(&yard.town).await, "gastown_effects_total");
    assert!(effects.keys().any(|labels| labels[1] == "failed" || labels[1] == "retry"), "{:?}", effects.keys());
    yard.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_town_counts_for_itself_from_its_opening_on() {
    let dir = tempfile::tempdir().unwrap();
    let town = open(dir.path()).await;
    for n in 0..3 {
        town.operator().beads().create(NewBead::titled(format!("task {n}"))).await.unwrap();
    }
    let pause = PauseTown { reason: String::new(), until: None };
    town.operator().upkeep().pause(pause).await.unwrap_err();
    let now = metrics(&town).await;
    assert_eq!(value(&now, "gastown_commands_total", &["beads.create", "ok"]), Some(3.0));
    assert_eq!(value(&now, "gastown_commands_total", &["upkeep.pause", "invalid"]), Some(1.0));
    assert_eq!(value(&now, "gastown_beads", &["ready"]), Some(3.0));
    assert_eq!(value(&now, "gastown_leader", &[]), Some(0.0));
    town.close().await.unwrap();
    let again = open(dir.path()).await;
    let now = metrics(&again).await;
    assert_eq!(value(&now, "gastown_commands_total", &["beads.create", "ok"]), None);
    assert_eq!(value(&now, "gastown_beads", &["ready"]), Some(3.0));
    let narrow = again.rig("harbour".parse().unwrap());
    assert_eq!(narrow.upkeep().metrics(All {}).await.unwrap_err().code(), "scope_too_narrow");
    again.close().await.unwrap();
}

#[test]
fn the_page_of_metrics_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = page();
    #[allow(clippy::disallowed_methods, reason = "how `make fix` asks for the file to be written")]
    if std::env::var_os("GASTOWN_FIX").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "{} does not list the metrics as they are; run `make fix`", path.display());
    let names: BTreeSet<_> = every_metric().iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), every_metric().len());
}

fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\nWhat is counted and measured of a town. Made from the library's table by `make fix`; a test compares.\n\n\
         `upkeep.metrics` reads the town's own, in Rust, Python and Node: counts from the moment this process opened the town, and how it\n\
         stands now. A Rust program that installs a recorder of the crate `metrics` before it opens towns is told the same under the same\n\
         names; the library links no exporter. A recorder knows one set of metrics for the whole process, so the counts of several towns add\n\
         up there, and a gauge is that of the town that set it last: ask each town with `upkeep.metrics` instead. Gauges are set for the\n\
         recorder by the engine that leads, at most every ten seconds, and by `upkeep.metrics`.\n\n\
         | metric | kind | labels | |\n|---|---|---|---|\n",
    );
    for Metric { name, kind, labels, meaning, .. } in every_metric() {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        writeln!(text, "| `{name}` | {} | {labels} | {meaning} |", kind.as_str()).unwrap();
    }
    text.push_str("\nNo label holds an id. A histogram has a count, a sum in seconds, and how many were no longer than each of its bounds.\n");
    text
}
