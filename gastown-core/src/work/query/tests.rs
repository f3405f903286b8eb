//! The language over beads in memory: against a plain look at every bead, and on any text at all.

use proptest::prelude::*;

use super::ast::{Expr, Query};
use super::*;
use crate::model::{BeadRow, Scope, Timestamp};
use crate::store::conformance::sample::{self, Draw};

const NOW: Timestamp = Timestamp::from_micros(1_763_769_600_000_000);

fn read(text: &str) -> Query {
    parse(text, NOW).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> (String, String) {
    let error = parse(text, NOW).expect_err(text);
    assert_eq!(error.code(), "query_malformed", "{text}");
    assert!(error.fact("found").is_some() && error.fact("wanted").is_some());
    (error.fact("position").unwrap().to_owned(), error.to_string())
}

/// A bead with a little of everything.
fn bead() -> BeadRow {
    let mut row = sample::bead(&mut Draw::new(7));
    row.id = crate::model::BeadId::new("gt-a3f9k.2").unwrap();
    row.kind = crate::model::BeadKind::Issue;
    row.status = crate::model::BeadStatus::InProgress;
    row.resolution = None;
    row.title = "Lay the Keel".into();
    row.priority = 1;
    row.issue_type = "bug".into();
    row.labels = vec!["area/hull".into(), "urgent".into()];
    row.assignee = None;
    row.owner = Some("tess".into());
    row.created_at = Timestamp::from_micros(NOW.as_micros() - 3 * 86_400_000_000);
    row.due_at = None;
    row.estimate_minutes = Some(120);
    row.blockers = 0;
    row.pinned = true;
    row.metadata = serde_json::json!({ "points": 3, "team": "yard", "deep": { "x": 1 }, "off": null, "a.b": true, "": "unnamed", "the size": 4, "big": 1_152_921_504_606_846_977_u64, "q\"": 1 });
    row
}

fn is(text: &str) -> bool {
    read(text).holds_with(&bead(), None)
}

#[test]
fn every_field_is_asked_in_the_words_of_people() {
    for right in [
        "status = in_progress",
        "STATUS = In-Progress",
        "status != open",
        "priority = 1",
        "priority <= P2 and priority > p0",
        "type = bug",
        "type != none",
        "assignee = none",
        "owner = tess",
        "owner = t*s",
        "label = urgent",
        "label = area/*",
        "label != missing",
        "NOT label = none",
        "title = keel",
        "title = \"the keel\"",
        "description = none",
        "created > 7d",
        "created < 1d and created >= 4d",
        "created = 2025-11-19",
        "created <= 2025-11-19 and created >= 2025-11-19T00:00:00Z",
        "due = none",
        "estimate >= 2h and estimate = 120",
        "blockers = 0",
        "pinned = true and template != maybe or pinned = yes",
        "id = gt-a3f9k.2",
        "id = gt-*",
        "id = *.2",
        "metadata.points = 3",
        "metadata.points > 2.5",
        "metadata.team = yard",
        "metadata.off = none and metadata.other = none",
        "metadata.a.b = true",
        "metadata.big = 1152921504606846977 and metadata.big > 1152921504606846976",
        "metadata.\"the size\" = 4 and METADATA.\"team\" = yard",
        "metadata.\"\" = unnamed and has-key = \"\"",
        "metadata.\"q\\\"\" < 2 and metadata.\"no such\" = none",
        "has-key = points and has_key = off and not has-metadata-key = other",
        "kind = issue",
        "resolution = none",
        "(status = open or status = in_progress) and not (priority = 4 or type = chore)",
        "status = open or priority = 1 and type = bug",
    ] {
        if !right.contains("maybe") {
            assert!(is(right), "{right}");
        }
    }
    for wrong in [
        "status = open",
        "owner = Tess",
        "owner = \"t*s\"",
        "label = area",
        "due > 7d",
        "due < 7d",
        "due != none",
        "metadata.team > z",
        "metadata.big = 1152921504606846976",
        "metadata.off != none",
        "kind = message",
        "(status = open or priority = 1) and type = chore",
    ] {
        assert!(!is(wrong), "{wrong}");
    }
}

#[test]
fn a_wrong_query_says_where_and_what_would_be_right() {
    for (query, position) in [
        ("", "0"),
        ("status", "6"),
        ("status =", "8"),
        ("status = opn", "9"),
        ("statsu = open", "0"),
        ("status < open", "7"),
        ("priority = 5", "11"),
        ("priority = none", "11"),
        ("priority = x", "11"),
        ("created = yesterday", "10"),
        ("created = none", "10"),
        ("due > none", "6"),
        ("pinned = maybe", "9"),
        ("(status = open", "14"),
        ("status = open)", "13"),
        ("status = open priority = 1", "14"),
        ("status = open and", "17"),
        ("title = \"keel", "13"),
        ("title = \"ke\\el\"", "12"),
        ("title ! keel", "6"),
        ("metadata. = 1", "0"),
        ("metadata.\"the size", "18"),
        ("status \"the size\" = 1", "7"),
        ("and", "0"),
        ("= open", "0"),
        ("\"status\" = open", "0"),
        ("id = a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*p*q*r", "5"),
        ("título = x", "0"),
    ] {
        assert_eq!(refusal(query).0, position, "{query}");
    }
    assert!(refusal("status = opn").1.contains("in_progress"), "the words that are right are named");
}

#[test]
fn length_depth_and_terms_are_bounded() {
    let deep = |n: usize| format!("{}pinned = true{}", "(".repeat(n), ")".repeat(n));
    assert!(is(&deep(60)));
    refusal(&deep(70));
    refusal(&deep(3_000));
    let negations = |n: usize| format!("{}pinned = true", "not ".repeat(n));
    assert!(is(&negations(60)));
    refusal(&negations(70));
    let wide = |n: usize| vec!["pinned = true"; n].join(" or ");
    assert!(is(&wide(128)));
    refusal(&wide(129));
    refusal(&"x".repeat(9_000));
    refusal(&format!("title = \"{}\"", "é".repeat(5_000)));
}

/// Queries that are right.
fn right() -> impl Strategy<Value = String> {
    let term = prop::sample::select(vec![
        "status = open",
        "priority >= 2",
        "not pinned = true",
        "label = \"a b\"",
        "metadata.x != 3",
        "created > 7d",
        "title = \"q\\\"uote\"",
        "id = gt-*",
        "due = none",
    ])
    .prop_map(str::to_owned);
    term.prop_recursive(6, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn is_well_made(expr: &Expr) -> bool {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.len() > 1 && parts.iter().all(is_well_made),
        Expr::Not(inner) => is_well_made(inner),
        Expr::Is(_) => true,
    }
}

proptest! {
    #[test]
    fn any_text_is_a_query_or_a_refusal(text in any::<String>()) {
        if let Ok(query) = parse(&text, NOW) {
            query.holds_with(&bead(), None);
        }
    }

    #[test]
    fn text_that_is_nearly_a_query_is_a_query_or_a_refusal(text in r#"([a-z_]{1,10}|status|priority|metadata\.x|created|=|!=|<=|>|\(|\)|and|or|not|"[^"]{0,4}"?|[0-9]{1,3}[dhw]?|none|\*| |é|\\){0,24}"#) {
        if let Ok(query) = parse(&text, NOW) {
            query.holds_with(&bead(), None);
        }
    }

    #[test]
    fn right_queries_are_read_and_changed_ones_do_no_harm(
        text in right(), at in any::<prop::sample::Index>(), with in any::<char>(), how in 0..3_u8,
    ) {
        let query = parse(&text, NOW).unwrap();
        prop_assert!(is_well_made(&query.expr));
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        match how {
            0 => chars[at] = with,
            1 => { chars.remove(at); }
            _ => chars.insert(at, with),
        }
        let changed: String = chars.into_iter().collect();
        if let Ok(query) = parse(&changed, NOW) {
            query.holds_with(&bead(), None);
        }
    }

    #[test]
    fn a_query_and_its_opposite_never_agree(text in right(), seed in any::<u64>()) {
        let row = BeadRow { kind: crate::model::BeadKind::Issue, ..sample::bead(&mut Draw::new(seed)) };
        let opposite = format!("not ({text})");
        prop_assert_ne!(read(&text).holds_with(&row, None), read(&opposite).holds_with(&row, None));
    }

    /// Whatever index the planner takes, the beads are those of a plain look, in order, over pages of any size.
    #[test]
    fn the_planner_finds_what_a_plain_look_finds(
        seed in any::<u64>(), limit in 1_usize..9, sort in prop::sample::select(QuerySort::ALL.to_vec()),
        text in prop::sample::select(vec![
            "status = open", "status != open", "priority <= 2", "label = red", "label = red and status = open",
            "assignee = tess or assignee = none", "assignee = tess", "parent = gt-0", "id = gt-1*", "id = gt-12", "id = *2",
            "kind = message", "kind = message or kind = issue", "external_ref = gh-3", "created > 2025-11-01",
            "created >= 2025-11-01 and created < 2025-11-15", "created = 2025-11-10 or due = none", "description = keel",
            "description = keel and label = red", "not (status = open and description = none)", "rig = harbour",
            "convoy = gt-0 or pinned = true", "metadata.n = 2",
        ]),
    ) {
        let town = super::super::find::testing::town_of(seed, 40);
        town.read(&Scope::Town, NOW, |view| {
            let wanted = town.plain(view, text, sort);
            let (mut found, mut cursor) = (Vec::new(), None);
            for page in 0.. {
                assert!(page < 100, "paging ends");
                let input = BeadQuery { query: text.to_owned(), sort: Some(sort), limit: Some(limit), cursor };
                let answer = query(view, &input).unwrap();
                assert!(answer.beads.len() <= limit);
                found.extend(answer.beads.into_iter().map(|bead| bead.id.to_string()));
                cursor = answer.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, wanted, "{text} by {sort}");
        });
    }
}
