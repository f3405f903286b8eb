//! Finding beads in a town in memory, against plain looks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::testing::{TestTown, at_day, town_of};
use super::*;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, RigName, Scope, Timestamp};
use crate::store::conformance::sample::{self, Draw};
use crate::store::search::words;
use crate::work::view::View;

const NOW: Timestamp = Timestamp::from_micros(1_763_769_600_000_000);

fn id(words: &str) -> BeadId {
    BeadId::new(words).unwrap()
}

/// An open issue without anything.
fn issue(name: &str, title: &str) -> BeadRow {
    BeadRow {
        id: id(name),
        kind: BeadKind::Issue,
        status: BeadStatus::Open,
        title: title.into(),
        rig: None,
        labels: Vec::new(),
        ephemeral: false,
        pinned: false,
        template: false,
        created_at: at_day(NOW, -100),
        updated_at: at_day(NOW, -100),
        ..sample::bead(&mut Draw::new(3))
    }
}

#[allow(clippy::unnecessary_wraps, reason = "beads have texts or none")]
fn texts(name: &str, description: &str) -> Option<BeadTextRow> {
    let [description, design, acceptance, notes] = [description, "", "", ""].map(str::to_owned);
    Some(BeadTextRow { id: id(name), description, design, acceptance, notes })
}

fn ask<T>(town: &TestTown, question: impl FnOnce(View<'_>) -> T) -> T {
    town.read(&Scope::Town, NOW, question)
}

/// All pages of a search.
fn found(town: &TestTown, scope: &Scope, search_for: &BeadSearch) -> Vec<String> {
    town.read(scope, NOW, |view| {
        let (mut input, mut found) = (search_for.clone(), Vec::new());
        for page in 0.. {
            assert!(page < 200, "paging ends");
            let answer = search(view, &input).unwrap();
            found.extend(answer.beads.into_iter().map(|bead| bead.id.to_string()));
            input.cursor = answer.cursor;
            if input.cursor.is_none() {
                break;
            }
        }
        found
    })
}

#[test]
fn a_search_is_answered_title_first_and_then_newest() {
    let town = TestTown::of(vec![
        (BeadRow { created_at: at_day(NOW, -4), ..issue("gt-1", "Lay the keel") }, None),
        (
            BeadRow { created_at: at_day(NOW, -3), ..issue("gt-2", "Raise the mast") },
            texts("gt-2", "the keel is there"),
        ),
        (BeadRow { created_at: at_day(NOW, -2), ..issue("gt-3", "Paint the KEEL red") }, texts("gt-3", "not blue")),
        (BeadRow { created_at: at_day(NOW, -1), ..issue("gt-4", "Sew sails") }, texts("gt-4", "keel, the")),
        (BeadRow { kind: BeadKind::Message, ..issue("gt-5", "the keel") }, None),
    ]);
    let look = |text: &str| found(&town, &Scope::Town, &BeadSearch { limit: Some(1), ..text.into() });
    assert_eq!(look("keel"), ["gt-3", "gt-1", "gt-4", "gt-2"]);
    assert_eq!(look("\"the keel\""), ["gt-3", "gt-1", "gt-2"]);
    assert_eq!(look("keel -red"), ["gt-1", "gt-4", "gt-2"]);
    assert_eq!(look("keel -blue"), ["gt-1", "gt-4", "gt-2"]);
    assert_eq!(look("ke* th*"), ["gt-3", "gt-1", "gt-4", "gt-2"]);
    assert_eq!(look("mast keel"), ["gt-2"]);
    let newest = BeadSearch { sort: Some(SearchSort::Newest), ..BeadSearch::from("keel") };
    assert_eq!(found(&town, &Scope::Town, &newest), ["gt-4", "gt-3", "gt-2", "gt-1"]);
    let mail = BeadSearch { kind: Some(BeadKind::Message), ..BeadSearch::from("keel") };
    assert_eq!(found(&town, &Scope::Town, &mail), ["gt-5"]);
    let with_query = BeadSearch { query: Some("id != gt-3".into()), ..BeadSearch::from("keel") };
    assert_eq!(found(&town, &Scope::Town, &with_query), ["gt-1", "gt-4", "gt-2"]);
    ask(&town, |view| {
        let code = |input: BeadSearch| search(view, &input).unwrap_err().code().to_owned();
        assert_eq!(
            code(BeadSearch { cursor: Some("[\"search/best\",1]".into()), .."keel".into() }),
            "cursor_malformed"
        );
        assert_eq!(code(BeadSearch { limit: Some(0), .."keel".into() }), "limit_out_of_range");
        assert_eq!(code("-keel".into()), "search_malformed");
        assert_eq!(code(BeadSearch { query: Some("x".into()), .."keel".into() }), "query_malformed");
    });
}

#[test]
fn who_sees_one_rig_finds_nothing_of_another() {
    let of = |name: &str, rig: &str| (BeadRow { rig: Some(RigName::new(rig).unwrap()), ..issue(name, "keel") }, None);
    let town = TestTown::of(vec![of("gt-1", "harbour"), of("gt-2", "yard"), (issue("gt-3", "keel"), None)]);
    let scope = Scope::Rig(RigName::new("yard").unwrap());
    assert_eq!(found(&town, &scope, &"keel".into()), ["gt-2"]);
    town.read(&scope, NOW, |view| {
        assert_eq!(
            count(view, &CountBeads { by: vec![CountedField::Status], ..CountBeads::default() }).unwrap().total,
            1
        );
        assert_eq!(stats(view, &StatsOf::default()).unwrap().total, 1);
        assert_eq!(stale(view, &StaleBeads::default()).unwrap().beads.len(), 1);
        assert_eq!(duplicates(view, &FindDuplicates::default()).unwrap().looked_at, 1);
    });
}

#[test]
fn stale_issues_come_by_how_long_they_were_left() {
    let left = |name: &str, days: i64| BeadRow { updated_at: at_day(NOW, -days), ..issue(name, "x") };
    let town = TestTown::of(vec![
        (left("gt-1", 40), None),
        (BeadRow { status: BeadStatus::InProgress, ..left("gt-2", 90) }, None),
        (left("gt-3", 29), None),
        (BeadRow { ephemeral: true, ..left("gt-4", 90) }, None),
        (BeadRow { status: BeadStatus::Closed, ..left("gt-5", 90) }, None),
        (left("gt-6", 40), None),
    ]);
    ask(&town, |view| {
        let (mut input, mut found) = (StaleBeads { limit: Some(1), ..StaleBeads::default() }, Vec::new());
        loop {
            let page = stale(view, &input).unwrap();
            found.extend(page.beads.into_iter().map(|bead| bead.id.to_string()));
            input.cursor = page.cursor;
            if input.cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, ["gt-2", "gt-1", "gt-6"]);
        assert_eq!(stale(view, &StaleBeads { days: Some(20), ..StaleBeads::default() }).unwrap().beads.len(), 4);
        let too_long = StaleBeads { days: Some(40_000), ..StaleBeads::default() };
        assert_eq!(stale(view, &too_long).unwrap_err().code(), "days_out_of_range");
    });
}

#[test]
fn equal_issues_are_told_with_the_one_to_keep_in_front() {
    let town = TestTown::of(vec![
        (issue("gt-1", "Lay the keel"), texts("gt-1", "of oak")),
        (issue("gt-2", "Lay the keel"), texts("gt-2", "of oak")),
        (issue("gt-3", "Lay the keel"), texts("gt-3", "of pine")),
        (issue("gt-4", "Something else entirely"), None),
        (issue("gt-5", "Lay the keel"), texts("gt-5", "of oak")),
        (BeadRow { status: BeadStatus::Closed, ..issue("gt-6", "Lay the keel") }, texts("gt-6", "of oak")),
    ]);
    town.write(|txn| {
        use crate::model::{DependencyKind, DependencyRow, Stored as _};
        txn.put(
            &DependencyRow {
                bead: id("gt-4"),
                on_bead: id("gt-2"),
                kind: DependencyKind::Blocks,
                counted: true,
                created_by: "tess".into(),
                created_at: NOW,
                gate: None,
                extra: None,
            }
            .into_row(),
        )
    });
    ask(&town, |view| {
        let found = duplicates(view, &FindDuplicates { likeness: Some(0.6), ..FindDuplicates::default() }).unwrap();
        assert_eq!(found.same.len(), 1);
        assert_eq!(found.same[0].beads, ["gt-2", "gt-1", "gt-5"].map(id), "others wait for the first");
        assert_eq!(found.near.len(), 1, "equal ones are not near as well");
        assert_eq!((&found.near[0].one, &found.near[0].other), (&id("gt-1"), &id("gt-3")));
        assert!((found.near[0].likeness - 4.0 / 6.0).abs() < 1e-9);
        assert!(found.is_complete && found.looked_at == 5);
        let wrong = FindDuplicates { likeness: Some(f64::NAN), ..FindDuplicates::default() };
        assert_eq!(duplicates(view, &wrong).unwrap_err().code(), "likeness_out_of_range");
    });
}

#[test]
fn lead_times_are_of_closed_issues() {
    let closed = |name: &str, days: i64| BeadRow {
        status: BeadStatus::Closed,
        created_at: at_day(NOW, -50),
        closed_at: Some(at_day(NOW, days - 50)),
        ..issue(name, "x")
    };
    let town = TestTown::of(vec![
        (closed("gt-1", 1), None),
        (closed("gt-2", 2), None),
        (closed("gt-3", 9), None),
        (issue("gt-4", "x"), None),
    ]);
    let found = ask(&town, |view| stats(view, &StatsOf::default()).unwrap());
    assert_eq!((found.lead.issues, found.lead.mean_ms, found.lead.median_ms), (3, 4 * 86_400_000, 2 * 86_400_000));
    let counts: Vec<_> = found.by_status.iter().map(|known| (known.status.as_str(), known.count)).collect();
    assert_eq!(counts, [("open", 1), ("in_progress", 0), ("in_review", 0), ("closed", 3), ("failed", 0)]);
}

#[test]
fn beads_are_counted_by_any_field_by_days_and_by_keys_of_metadata() {
    let of = |name: &str, owner: &str, team: serde_json::Value| BeadRow {
        owner: Some(owner.into()),
        created_by: "tess".into(),
        created_at: NOW,
        metadata: serde_json::json!({ "team": team }),
        ..issue(name, "x")
    };
    let town = TestTown::of(vec![
        (of("gt-1", "olga", "yard".into()), None),
        (of("gt-2", "olga", 7.into()), None),
        (of("gt-3", "nux", serde_json::Value::Null), None),
    ]);
    let groups = |by: &[CountedField], metadata: &[&str]| {
        let metadata = metadata.iter().map(|&key| key.to_owned()).collect();
        let input = CountBeads { by: by.to_vec(), metadata, query: None };
        let counts = ask(&town, |view| count(view, &input)).unwrap();
        let show = |group: CountGroup| {
            let values = group.values.into_iter().map(|value| value.unwrap_or_else(|| "none".to_owned()));
            format!("{} {}", values.collect::<Vec<_>>().join(","), group.count)
        };
        counts.groups.into_iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(groups(&[CountedField::Owner], &[]), ["olga 2", "nux 1"]);
    assert_eq!(groups(&[CountedField::Creator, CountedField::Created], &[]), ["tess,2025-11-22 3"]);
    assert_eq!(groups(&[CountedField::Pinned], &["team"]), ["false,none 1", "false,7 1", "false,yard 1"]);
    for field in CountedField::ALL {
        let total: u64 = ask(&town, |view| count(view, &CountBeads { by: vec![*field], ..CountBeads::default() }))
            .unwrap()
            .groups
            .iter()
            .map(|group| group.count)
            .sum();
        assert_eq!(total, 3, "{field}");
    }
    let wide = CountBeads { metadata: vec!["a".into(); 5], ..CountBeads::default() };
    assert_eq!(ask(&town, |view| count(view, &wide)).unwrap_err().code(), "too_many_fields");
}

/// The beads whose title and texts hold all these words, by a plain look.
fn plain(town: &TestTown, wanted: &[&str]) -> BTreeSet<String> {
    let holds = |(row, texts): &&(BeadRow, Option<BeadTextRow>)| {
        let all = texts.iter().flat_map(|t| [&t.description, &t.design, &t.acceptance, &t.notes]);
        let all: Vec<String> = all.chain([&row.title]).flat_map(|text| words(text)).map(|(_, word)| word).collect();
        row.kind == BeadKind::Issue && wanted.iter().all(|word| all.iter().any(|found| found == word))
    };
    town.beads.iter().filter(holds).map(|(row, _)| row.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn searches_and_counts_are_those_of_a_plain_look(
        seed in any::<u64>(), limit in 1_usize..20, newest in any::<bool>(),
        wanted in prop::sample::subsequence(vec!["keel", "mast", "the", "here"], 1..3),
    ) {
        let town = town_of(seed, 60);
        let sort = newest.then_some(SearchSort::Newest);
        let input = BeadSearch { limit: Some(limit), sort, ..BeadSearch::from(&*wanted.join(" ")) };
        let found = found(&town, &Scope::Town, &input);
        let set: BTreeSet<String> = found.iter().cloned().collect();
        prop_assert_eq!(set.len(), found.len(), "each once");
        prop_assert_eq!(set, plain(&town, &wanted));

        ask(&town, |view| {
            let by = vec![CountedField::Status, CountedField::Label];
            let counts = count(view, &CountBeads { by, query: Some("priority <= 2".into()), ..CountBeads::default() }).unwrap();
            let mut wanted: BTreeMap<Vec<Option<String>>, u64> = BTreeMap::new();
            let fits = |row: &&BeadRow| row.kind == BeadKind::Issue && row.priority <= 2;
            let mut total = 0;
            for row in town.beads.iter().map(|(row, _)| row).filter(fits) {
                total += 1;
                let labels: Vec<Option<String>> =
                    if row.labels.is_empty() { vec![None] } else { row.labels.iter().cloned().map(Some).collect() };
                for label in labels {
                    *wanted.entry(vec![Some(row.status.to_string()), label]).or_default() += 1;
                }
            }
            assert_eq!(counts.total, total);
            assert!(counts.groups.windows(2).all(|pair| pair[0].count >= pair[1].count), "largest first");
            assert_eq!(counts.groups.into_iter().map(|group| (group.values, group.count)).collect::<BTreeMap<_, _>>(), wanted);
            // With and without a look at each.
            let by = || vec![CountedField::Status];
            let quick = count(view, &CountBeads { by: by(), ..CountBeads::default() }).unwrap();
            assert_eq!(quick, count(view, &CountBeads { by: by(), query: Some("kind = issue".into()), ..CountBeads::default() }).unwrap());
        });
    }
}
