//! The laws of merging, on small random files.

use proptest::prelude::*;

use super::super::{Comment, CommentId, Dialect, Edge, Issue, Issues, Record, Time, merge3, twin_id};
use super::written;
use crate::model::Timestamp;

#[allow(clippy::unnecessary_wraps, reason = "fields are optional")]
fn at(second: i64) -> Option<Time> {
    Some(Time::new(Timestamp::from_micros(second * 1_000_000)))
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

prop_compose! {
    fn some_issue(id: String)(
        texts in (word(&["t", "t again", "u", "u again"]), word(&["", "d", "d\ne", "f"]), word(&["", "n", "n\nm", "n\no", "p"])),
        status in word(&["open", "in_progress", "closed", "tombstone", "blocked"]),
        numbers in (0..3_u8, 0..3_i64, 0..4_i64),
        labels in proptest::collection::btree_set(word(&["a", "b", "c"]), 0..3),
        edges in proptest::collection::btree_map(word(&["x", "y", "z"]), word(&["", "me"]), 0..3),
        comments in proptest::collection::btree_map(word(&["one", "two"]), 0..2_i64, 0..3),
        metadata in proptest::option::of(proptest::collection::btree_map(word(&["k", "l"]), 0..2_i64, 0..3)),
        extra in proptest::collection::btree_map(word(&["e", "f"]), 0..2_i64, 0..2),
    ) -> Issue {
        let (title, description, notes) = texts;
        let (priority, estimate, updated) = numbers;
        // Two that have one id may be two, whatever they are called by now.
        let created = if title.starts_with('t') { 1 } else { 2 };
        let closed = status == "closed";
        let dead = status == "tombstone";
        Issue {
            id: id.clone(),
            title, description, notes, priority, status,
            estimated_minutes: (estimate > 0).then_some(estimate),
            created_at: at(created),
            updated_at: at(10 + updated),
            closed_at: closed.then(|| at(10 + updated)).flatten(),
            deleted_at: dead.then(|| at(10 + updated)).flatten(),
            labels: labels.into_iter().collect(),
            dependencies: edges.into_iter().map(|(to, by)| Edge {
                issue_id: id.clone(), depends_on_id: to, created_by: by, ..Edge::default()
            }).collect(),
            comments: comments.into_iter().map(|(text, id)| Comment { id: CommentId::Number(id), text, ..Comment::default() }).collect(),
            metadata: metadata.map(|map| map.into_iter().map(|(key, value)| (key, value.into())).collect::<serde_json::Map<_, _>>().into()),
            extra: extra.into_iter().map(|(key, value)| (key, value.into())).collect(),
            ..Issue::default()
        }
    }
}

fn file() -> impl Strategy<Value = Issues> {
    let one = |id: &'static str| proptest::option::weighted(0.8, some_issue(id.to_owned()));
    (one("gt-1"), one("gt-b"), one("gt-a.1"))
        .prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().map(|issue| (issue.id.clone(), issue)).collect())
}

fn lines(issues: &Issues) -> Vec<String> {
    issues.values().map(|issue| written(&Record::Issue(Box::new(issue.clone())), Dialect::Bd)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_does_not_matter_which_side_is_which(base in file(), ours in file(), theirs in file()) {
        prop_assert_eq!(merge3(&base, &ours, &theirs), merge3(&base, &theirs, &ours));
    }

    #[test]
    fn what_only_one_side_changed_is_taken(base in file(), changed in file()) {
        let merged = merge3(&base, &base, &changed);
        prop_assert_eq!(&merged.issues, &changed);
        prop_assert!(merged.choices.is_empty());
        prop_assert_eq!(merge3(&base, &changed, &changed).issues, changed);
    }

    #[test]
    fn merging_again_changes_nothing(base in file(), ours in file(), theirs in file()) {
        let merged = merge3(&base, &ours, &theirs).issues;
        for side in [&ours, &theirs, &merged] {
            prop_assert_eq!(lines(&merge3(&base, &merged, side).issues), lines(&merged));
        }
    }

    #[test]
    fn what_one_side_added_is_there(base in file(), ours in file(), theirs in file()) {
        let merged = merge3(&base, &ours, &theirs).issues;
        let nothing = Issue::default();
        for side in [&ours, &theirs] {
            for (id, issue) in side {
                let before = base.get(id).unwrap_or(&nothing);
                // It may have got another id.
                let homes: Vec<_> = merged
                    .values()
                    .filter(|kept| kept.id == *id || kept.created_at == issue.created_at)
                    .collect();
                prop_assert!(!homes.is_empty() || base.contains_key(id));
                if homes.is_empty() {
                    continue;
                }
                for label in &issue.labels {
                    prop_assert!(before.labels.contains(label) || homes.iter().any(|kept| kept.labels.contains(label)));
                }
                for comment in &issue.comments {
                    let has = |issue: &Issue| issue.comments.iter().any(|one| one.text == comment.text);
                    prop_assert!(has(before) || homes.iter().any(|kept| has(kept)));
                }
                for edge in &issue.dependencies {
                    let has = |issue: &Issue| issue.dependencies.iter().any(|one| one.depends_on_id == edge.depends_on_id);
                    prop_assert!(has(before) || homes.iter().any(|kept| has(kept)));
                }
            }
        }
    }
}

fn with(change: impl FnOnce(&mut Issue)) -> Issues {
    let mut issue =
        Issue { id: "gt-1".into(), title: "t".into(), created_at: at(1), updated_at: at(1), ..Issue::default() };
    change(&mut issue);
    Issues::from([(issue.id.clone(), issue)])
}

fn choices(base: &Issues, ours: &Issues, theirs: &Issues) -> (Issues, Vec<&'static str>) {
    let merged = merge3(base, ours, theirs);
    (merged.issues, merged.choices.iter().map(|choice| choice.code).collect())
}

fn status(word: &str, second: i64) -> Issues {
    with(|issue| {
        issue.status = word.into();
        issue.updated_at = at(second);
        issue.closed_at = (word == "closed").then(|| at(second)).flatten();
        issue.deleted_at = (word == "tombstone").then(|| at(second)).flatten();
    })
}

#[test]
fn closed_wins_over_open_unless_the_reopening_is_newer() {
    let (merged, codes) = choices(&status("open", 1), &status("closed", 2), &status("in_progress", 3));
    assert_eq!((merged["gt-1"].status.as_str(), codes), ("closed", vec!["closed_over_open"]));
    let (merged, codes) = choices(&status("closed", 1), &status("closed", 2), &status("open", 3));
    assert_eq!((merged["gt-1"].status.as_str(), codes), ("open", vec!["reopen_is_newer"]));
    let (merged, codes) = choices(&status("closed", 1), &status("closed", 3), &status("open", 2));
    assert_eq!((merged["gt-1"].status.as_str(), codes), ("closed", vec!["reclose_is_newer"]));
    assert_eq!(merged["gt-1"].closed_at, at(3), "what belongs to the status comes with it");
}

#[test]
fn a_deletion_takes_what_is_unchanged_and_keeps_what_is_not() {
    let nothing = Issues::new();
    let touched = with(|issue| issue.updated_at = at(9));
    assert_eq!(choices(&with(|_| {}), &nothing, &touched), (nothing.clone(), vec![]), "a new time is no change");
    let changed = with(|issue| issue.title = "u".into());
    assert_eq!(choices(&with(|_| {}), &nothing, &changed), (changed, vec!["deleted_but_changed"]));
    let (merged, codes) = choices(&status("open", 1), &status("tombstone", 3), &status("in_progress", 2));
    assert_eq!((merged["gt-1"].status.as_str(), codes), ("tombstone", vec!["tombstone_kept"]));
    let (merged, codes) = choices(&status("open", 1), &status("tombstone", 2), &status("in_progress", 3));
    assert_eq!((merged["gt-1"].status.as_str(), codes), ("in_progress", vec!["tombstone_lifted"]));
    assert_eq!(merged["gt-1"].deleted_at, None);
}

#[test]
fn the_later_change_of_one_field_wins_and_the_other_is_told() {
    let side = |priority, second| with(|issue| (issue.priority, issue.updated_at) = (priority, at(second)));
    let merged = merge3(&side(2, 1), &side(0, 5), &side(1, 4));
    assert_eq!(merged.issues["gt-1"].priority, 0);
    assert_eq!((merged.choices[0].key.as_str(), &merged.choices[0].dropped), ("priority", &serde_json::json!(1)));
}

#[test]
fn notes_of_both_sides_are_joined() {
    let side = |notes: &str, second| with(|issue| (issue.notes, issue.updated_at) = (notes.into(), at(second)));
    let (merged, codes) = choices(&side("log", 1), &side("log\nlate", 3), &side("log\nearly", 2));
    assert_eq!((merged["gt-1"].notes.as_str(), codes), ("log\nearly\nlate", vec!["notes_joined"]));
}

#[test]
fn two_issues_with_one_id_are_both_kept() {
    let made = |title: &str, second| {
        let mut file = with(|issue| (issue.title, issue.created_at) = (title.into(), at(second)));
        let edge = Edge { issue_id: "gt-9".into(), depends_on_id: "gt-1".into(), ..Edge::default() };
        let other = Issue { id: format!("gt-9{title}"), dependencies: vec![edge], ..Issue::default() };
        file.insert(other.id.clone(), other);
        file
    };
    let (merged, codes) = choices(&Issues::new(), &made("a", 5), &made("b", 4));
    let twin = twin_id("gt-1", Timestamp::from_micros(5_000_000), 0);
    assert_eq!((merged["gt-1"].title.as_str(), merged[&twin].title.as_str(), codes), ("b", "a", vec!["id_relocated"]));
    assert_eq!(merged["gt-9a"].dependencies[0].depends_on_id, twin, "what its side says about it follows");
    assert_eq!(merged["gt-9b"].dependencies[0].depends_on_id, "gt-1");
}

fn named(id: &str, title: &str, second: i64, change: impl FnOnce(&mut Issue)) -> Issue {
    let mut issue = Issue {
        id: id.into(),
        title: title.into(),
        created_at: at(second),
        updated_at: at(second),
        ..Issue::default()
    };
    change(&mut issue);
    issue
}

fn set(issues: impl IntoIterator<Item = Issue>) -> Issues {
    issues.into_iter().map(|issue| (issue.id.clone(), issue)).collect()
}

fn deleted(issue: &mut Issue) {
    (issue.status, issue.deleted_at, issue.updated_at) = ("tombstone".into(), at(90), at(90));
}

#[test]
fn what_one_side_did_to_an_issue_reaches_it_under_the_id_that_the_other_gave_it() {
    let (oak, elm) = (named("gt-3", "oak", 1, |_| {}), named("gt-3", "elm", 2, |_| {}));
    let there = merge3(&Issues::new(), &set([oak.clone()]), &set([elm.clone()])).issues;
    let twin = twin_id("gt-3", Timestamp::from_micros(2_000_000), 0);
    assert_eq!((there["gt-3"].title.as_str(), there[&twin].title.as_str()), ("oak", "elm"));
    let base = set([elm.clone()]);
    let change = |change: fn(&mut Issue)| {
        let mut elm = elm.clone();
        elm.updated_at = at(50);
        change(&mut elm);
        let waits = Edge { issue_id: "gt-5".into(), depends_on_id: "gt-3".into(), ..Edge::default() };
        let other = Issue { id: "gt-5".into(), dependencies: vec![waits], ..Issue::default() };
        let merged = merge3(&base, &set([elm, other]), &there);
        assert_eq!(merged.issues["gt-3"], oak, "nobody did anything to the other");
        assert_eq!(merged.issues["gt-5"].dependencies[0].depends_on_id, twin);
        assert_eq!(merged.choices, [], "and nothing is given up");
        merged.issues[&twin].clone()
    };
    assert_eq!(change(|elm| elm.status = "closed".into()).status, "closed");
    assert_eq!(change(|elm| elm.title = "elms".into()).title, "elms");
    assert_eq!(change(deleted).status, "tombstone");
    let edge = |elm: &mut Issue| {
        elm.dependencies = vec![Edge { depends_on_id: "gt-9".into(), issue_id: "gt-3".into(), ..Edge::default() }];
    };
    assert_eq!((&change(edge).dependencies[0].issue_id, change(edge).dependencies.len()), (&twin, 1));
    assert_eq!(merge3(&base, &Issues::new(), &there).issues, set([oak]), "what is deleted here is");
}

#[test]
fn what_is_left_of_an_issue_keeps_no_id_from_another() {
    let (oak, elm) = (named("gt-1", "oak", 1, |_| {}), named("gt-1", "elm", 2, |_| {}));
    let left = named("gt-1", "oak", 1, deleted);
    for base in [Issues::new(), set([oak.clone()])] {
        let (merged, codes) = choices(&base, &set([left.clone()]), &set([elm.clone()]));
        let twin = twin_id("gt-1", Timestamp::from_micros(1_000_000), 0);
        assert_eq!((&merged["gt-1"], merged[&twin].status.as_str(), codes), (&elm, "tombstone", Vec::<&str>::new()));
    }
    let (merged, codes) = choices(&set([oak]), &Issues::new(), &set([elm.clone()]));
    assert_eq!((merged, codes), (set([elm]), vec![]), "deleted there, and another made here");
}

#[test]
fn an_issue_that_one_side_gave_another_id_is_one() {
    let fine = Some(Time::new(Timestamp::from_micros(1_234_567)));
    let made = |id: &str, change: fn(&mut Issue)| {
        named(id, "oak", 1, |issue| {
            issue.created_at.clone_from(&fine);
            change(issue);
        })
    };
    let base = set([made("gt-1", |_| {})]);
    let changed = made("gt-1", |issue| (issue.priority, issue.updated_at) = (0, at(9)));
    let (merged, codes) = choices(&base, &set([changed.clone()]), &set([made("gt-oak", |_| {})]));
    assert_eq!((merged.len(), merged["gt-oak"].priority, codes), (1, 0, vec![]));
    // A tombstone says it where nothing else does.
    let mut left = made("gt-1", deleted);
    left.extra.insert("moved_to".into(), "gt-oak".into());
    let moved = set([left.clone(), made("gt-oak", |_| {})]);
    let (merged, codes) = choices(&Issues::new(), &set([changed]), &moved);
    assert_eq!((&merged["gt-1"], merged["gt-oak"].priority, codes), (&left, 0, vec!["id_relocated"]));
}
