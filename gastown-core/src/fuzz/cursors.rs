//! The places where pages end, which callers send back.

use super::query::{NOW, town};
use super::{check_refusal, text_of};
use crate::model::{BeadId, Scope};
use crate::work::find::{BeadSearch, SearchSort, StaleBeads, search, stale};
use crate::work::graph::{
    ChildrenOf, EdgesOf, GraphFilter, PlanOf, blocked, children, edges, epics, loose_edges, plan,
};
use crate::work::query::{BeadQuery, QuerySort, query};
use crate::work::ready::{BeadFilter, ListSort, ReadyFilter, ReadySort, list, ready};

/// Any text as a cursor of any list: a page that may well be empty, or a refusal.
pub(super) fn run(bytes: &[u8]) {
    let cursor = Some(text_of(bytes));
    let limit = Some(3);
    let id = || BeadId::new("gt-0").unwrap();
    town().read(&Scope::Town, NOW, |view| {
        for sort in ListSort::ALL {
            judge(list(
                view,
                &BeadFilter { sort: Some(*sort), limit, cursor: cursor.clone(), ..BeadFilter::default() },
            ));
        }
        for sort in ReadySort::ALL {
            let cursor = cursor.clone();
            judge(ready(view, &ReadyFilter { sort: Some(*sort), limit, cursor, ..ReadyFilter::default() }));
        }
        for sort in QuerySort::ALL {
            let asked =
                BeadQuery { sort: Some(*sort), limit, cursor: cursor.clone(), query: "priority < 3".to_owned() };
            judge(query(view, &asked));
        }
        for sort in SearchSort::ALL {
            let cursor = cursor.clone();
            judge(search(view, &BeadSearch { sort: Some(*sort), limit, cursor, ..BeadSearch::from("keel") }));
        }
        judge(stale(view, &StaleBeads { limit, cursor: cursor.clone(), ..StaleBeads::default() }));
        let all = ChildrenOf { all: true, limit, cursor: cursor.clone(), ..(&id()).into() };
        judge(children(view, &all));
        judge(children(view, &ChildrenOf { all: false, ..all }));
        judge(edges(view, &EdgesOf { limit, cursor: cursor.clone(), ..id().into() }));
        let filter = GraphFilter { limit, cursor: cursor.clone(), ..GraphFilter::default() };
        judge(blocked(view, &filter));
        judge(epics(view, &filter));
        judge(loose_edges(view, &filter));
        judge(plan(view, &PlanOf { limit, cursor, ..PlanOf::default() }));
    });
}

fn judge<T>(answer: crate::Result<T>) {
    if let Err(error) = answer {
        check_refusal(&error, &["cursor_malformed"]);
    }
}
