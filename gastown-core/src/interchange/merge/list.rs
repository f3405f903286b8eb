//! Labels, edges and comments: what one side added stays, what one side removed goes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::edge::{Comment, CommentId, Edge};
use super::super::issue::Issue;
use super::Choice;

/// Labels; sorted where both sides changed them.
pub(super) fn labels(base: &[String], weak: &[String], strong: &[String]) -> Vec<String> {
    if strong == weak || weak == base {
        return strong.to_vec();
    }
    if strong == base {
        return weak.to_vec();
    }
    let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
    let (base, weak, strong) = (set(base), set(weak), set(strong));
    let stays = |label: &&String| !base.contains(*label) || weak.contains(*label) && strong.contains(*label);
    weak.union(&strong).filter(stays).cloned().collect()
}

/// Edges by target and kind; sorted where both sides changed them.
pub(super) fn edges(
    id: &str,
    base: &Issue,
    weak: &Issue,
    strong: &Issue,
    is_tie: bool,
    choices: &mut Vec<Choice>,
) -> Vec<Edge> {
    let (old, weak, strong_list) = (&base.dependencies, &weak.dependencies, &strong.dependencies);
    if same_list(weak, strong_list, same_edge) || same_list(weak, old, same_edge) {
        return strong_list.clone();
    }
    if same_list(strong_list, old, same_edge) {
        return weak.clone();
    }
    let map = |list: &'_ [Edge]| -> BTreeMap<(String, String), Edge> {
        list.iter().map(|edge| ((edge.depends_on_id.clone(), edge.kind.clone()), edge.clone())).collect()
    };
    let (old, mut weak, strong_map) = (map(old), map(weak), map(strong_list));
    let mut merged = Vec::new();
    let keys: BTreeSet<_> = weak.keys().chain(strong_map.keys()).cloned().collect();
    for key in keys {
        let before = old.get(&key);
        match (weak.remove(&key), strong_map.get(&key).cloned()) {
            (Some(weak), Some(strong)) => {
                let unchanged = |edge: &Edge| before.is_some_and(|before| same_edge(before, edge));
                if same_edge(&weak, &strong) || unchanged(&weak) {
                    merged.push(strong);
                } else if unchanged(&strong) {
                    merged.push(weak);
                } else {
                    let (kept, dropped) =
                        if is_tie && text(&weak) > text(&strong) { (weak, strong) } else { (strong, weak) };
                    let (kept_text, dropped_text) = (text(&kept).into(), text(&dropped).into());
                    choices.push(Choice::new(id, "dependencies", "edge_conflict", kept_text, dropped_text));
                    merged.push(kept);
                }
            }
            (Some(left), None) | (None, Some(left)) => match before {
                None => merged.push(left),
                Some(before) if same_edge(before, &left) => {}
                Some(_) => {
                    let kept = text(&left).into();
                    choices.push(Choice::new(id, "dependencies", "edge_changed_and_removed", kept, Value::Null));
                    merged.push(left);
                }
            },
            (None, None) => {}
        }
    }
    merged
}

/// Comments by time, author and text; ordered by them where both sides changed them.
pub(super) fn comments(
    id: &str,
    base: &Issue,
    weak: &Issue,
    strong: &Issue,
    choices: &mut Vec<Choice>,
) -> Vec<Comment> {
    let (old, weak, strong) = (&base.comments, &weak.comments, &strong.comments);
    if same_list(weak, strong, same_comment) || same_list(weak, old, same_comment) {
        return strong.clone();
    }
    if same_list(strong, old, same_comment) {
        return weak.clone();
    }
    let keys = |list: &'_ [Comment]| -> BTreeSet<(i64, String, String)> { list.iter().map(owned_key).collect() };
    let (old_keys, weak_keys, strong_keys) = (keys(old), keys(weak), keys(strong));
    let mut merged: BTreeMap<(i64, String, String), Comment> = BTreeMap::new();
    for comment in strong.iter().chain(weak) {
        let key = owned_key(comment);
        if !old_keys.contains(&key) || weak_keys.contains(&key) && strong_keys.contains(&key) {
            // One comment under two ids: the one a side gave it since, or the smaller one, whichever side has it.
            let one = merged.entry(key).or_insert_with(|| comment.clone());
            let before = old.iter().find(|old| old.key() == one.key()).map(|old| &old.id);
            if before == Some(&one.id) || before != Some(&comment.id) && comment.id < one.id {
                one.id.clone_from(&comment.id);
            }
        }
    }
    let mut ids: BTreeMap<&CommentId, &Comment> = BTreeMap::new();
    for comment in merged.values().filter(|comment| comment.id != CommentId::None) {
        if ids.insert(&comment.id, comment).is_some() {
            let shared = match &comment.id {
                CommentId::None => Value::Null,
                CommentId::Number(number) => json!(number),
                CommentId::Text(text) => json!(text),
            };
            choices.push(Choice::new(id, "comments", "comment_id_shared", shared, Value::Null));
        }
    }
    merged.into_values().collect()
}

fn owned_key(comment: &Comment) -> (i64, String, String) {
    let (at, author, text) = comment.key();
    (at, author.to_owned(), text.to_owned())
}

/// Objects key by key, and the keys that come from the weaker side.
pub(super) fn maps(
    base: &Map<String, Value>,
    weak: &Map<String, Value>,
    strong: &Map<String, Value>,
    is_tie: bool,
    mut conflict: impl FnMut(&str, Value, Value),
) -> (Map<String, Value>, Vec<String>) {
    let (mut merged, mut from_weak) = (Map::new(), Vec::new());
    let keys: BTreeSet<&String> = weak.keys().chain(strong.keys()).collect();
    for key in keys {
        let (before, of_weak, of_strong) = (base.get(key), weak.get(key), strong.get(key));
        let takes_weak = if of_weak == of_strong || of_weak == before {
            false
        } else if of_strong == before {
            true
        } else {
            let text = |value: Option<&Value>| value.map(Value::to_string);
            let takes_weak = is_tie && text(of_weak) > text(of_strong);
            let value = |value: Option<&Value>| value.cloned().unwrap_or(Value::Null);
            let (kept, dropped) = if takes_weak { (of_weak, of_strong) } else { (of_strong, of_weak) };
            conflict(key, value(kept), value(dropped));
            takes_weak
        };
        if takes_weak {
            from_weak.push(key.clone());
        }
        if let Some(value) = if takes_weak { of_weak } else { of_strong } {
            merged.insert(key.clone(), value.clone());
        }
    }
    (merged, from_weak)
}

pub(super) fn same_list<T>(a: &[T], b: &[T], same: fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

pub(super) fn same_edge(a: &Edge, b: &Edge) -> bool {
    let at = |edge: &Edge| edge.created_at.as_ref().map(|time| time.at);
    a.key() == b.key()
        && at(a) == at(b)
        && a.created_by == b.created_by
        && a.metadata == b.metadata
        && a.thread_id == b.thread_id
        && a.extra == b.extra
}

pub(super) fn same_comment(a: &Comment, b: &Comment) -> bool {
    a.key() == b.key() && a.id == b.id && a.extra == b.extra
}

fn text(edge: &Edge) -> String {
    let mut out = Vec::new();
    super::super::record::put(edge, super::super::slot::Style::NATIVE, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}
