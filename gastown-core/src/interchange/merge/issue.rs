//! Bringing one issue together.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::forms::{Field, bit};
use super::super::issue::Issue;
use super::super::record::{Fields, Visit3, canonical};
use super::super::slot::Slot;
use super::super::status;
use super::super::twin::UNTITLED;
use super::super::write::{Dialect, put_issue};
use super::text::{self, Outcome};
use super::{Choice, list};

/// Fields that say where an issue stands; they come from one side together.
const STANDING: u128 = bit(Field::Status)
    | bit(Field::ClosedAt)
    | bit(Field::CloseReason)
    | bit(Field::Resolution)
    | bit(Field::ClosedBySession)
    | bit(Field::DeletedAt)
    | bit(Field::DeletedBy)
    | bit(Field::DeleteReason)
    | bit(Field::OriginalType);
/// Fields that follow from others.
const DERIVED: u128 = bit(Field::UpdatedAt)
    | bit(Field::ContentHash)
    | bit(Field::DependencyCount)
    | bit(Field::DependentCount)
    | bit(Field::CommentCount);
/// Long texts.
const TEXTS: u128 = bit(Field::Description) | bit(Field::Design) | bit(Field::AcceptanceCriteria) | bit(Field::Notes);
/// Lists and objects, which are brought together entry by entry.
const PARTS: u128 = bit(Field::Labels) | bit(Field::Dependencies) | bit(Field::Comments) | bit(Field::Metadata);

/// Whether an issue says something else, leaving out what follows from the rest.
pub(super) fn differs(base: &Issue, issue: &Issue) -> bool {
    struct Differs(bool);
    impl Visit3 for Differs {
        fn field<S: Slot>(&mut self, field: Field, base: &S, other: &S, _merged: &mut S) {
            if bit(field) & (DERIVED | PARTS) == 0 {
                self.0 |= !base.same(other);
            }
        }
    }
    let mut found = Differs(false);
    Issue::visit3(base, issue, &mut Issue::default(), &mut found);
    let mut labels = (base.labels.clone(), issue.labels.clone());
    labels.0.sort_unstable();
    labels.1.sort_unstable();
    found.0
        || labels.0 != labels.1
        || base.metadata != issue.metadata
        || base.extra != issue.extra
        || !list::same_list(&base.dependencies, &issue.dependencies, list::same_edge)
        || !list::same_list(&base.comments, &issue.comments, list::same_comment)
}

/// Brings two descendants of one issue together.
pub(super) fn merge(base: Option<&Issue>, ours: &Issue, theirs: &Issue, choices: &mut Vec<Choice>) -> Issue {
    if ours == theirs || base == Some(theirs) {
        return ours.clone();
    }
    if base == Some(ours) {
        return theirs.clone();
    }
    let as_it_was = |side: &Issue| {
        let is_bare = side.title.is_empty() || side.title == UNTITLED;
        let base = base.filter(|base| is_bare && side.is_tombstone() && !base.is_tombstone());
        base.map(|base| buried(base, side))
    };
    let whole = (as_it_was(ours), as_it_was(theirs));
    let (ours, theirs) = (whole.0.as_ref().unwrap_or(ours), whole.1.as_ref().unwrap_or(theirs));
    // From here on there is a weaker and a stronger side, and not ours and theirs: so the outcome cannot depend on who asks.
    let line = |issue: &Issue| {
        let mut out = Vec::new();
        put_issue(issue, Dialect::Native, &mut out);
        out
    };
    let order = ours.changed_at().cmp(&theirs.changed_at());
    let is_tie = order == Ordering::Equal;
    let ours_is_strong = order.then_with(|| line(ours).cmp(&line(theirs))) == Ordering::Greater;
    let (weak, strong) = if ours_is_strong { (theirs, ours) } else { (ours, theirs) };
    let nothing;
    let base = if let Some(base) = base {
        base
    } else {
        nothing = Issue::default();
        &nothing
    };
    let id = &strong.id;
    let mut merged = strong.clone();
    let mut fields = Scalars { id, is_tie, is_new: base.id.is_empty(), from_weak: Vec::new(), choices };
    Issue::visit3(base, weak, &mut merged, &mut fields);
    for field in fields.from_weak {
        merged.forms.adopt(&weak.forms, field.as_str(), bit(field));
    }
    standing(base, weak, strong, is_tie, &mut merged, choices);
    texts(base, weak, strong, is_tie, &mut merged, choices);
    parts(base, weak, strong, is_tie, &mut merged, choices);
    derived(weak, strong, &mut merged);
    merged
}

/// An issue that was deleted as a tombstone says: it tells of the deletion and of no other change.
pub(in super::super) fn buried(issue: &Issue, tombstone: &Issue) -> Issue {
    let mut buried = issue.clone();
    copy(tombstone, &mut buried, STANDING | bit(Field::UpdatedAt));
    buried
}

struct Scalars<'a> {
    id: &'a str,
    is_tie: bool,
    is_new: bool,
    from_weak: Vec<Field>,
    choices: &'a mut Vec<Choice>,
}

impl Visit3 for Scalars<'_> {
    fn field<S: Slot>(&mut self, field: Field, base: &S, weak: &S, merged: &mut S) {
        if bit(field) & (STANDING | DERIVED | TEXTS | PARTS) != 0 || weak.same(merged) || weak.same(base) {
            return;
        }
        let takes_weak = if merged.same(base) {
            true
        } else if self.is_new && (weak.is_blank() || merged.is_blank()) {
            merged.is_blank()
        } else {
            let (of_weak, of_strong) = (canonical(weak), canonical(merged));
            let takes_weak = self.is_tie && of_weak > of_strong;
            let (kept, dropped) = if takes_weak { (of_weak, of_strong) } else { (of_strong, of_weak) };
            self.choices.push(Choice::new(self.id, field.as_str(), "field_conflict", json(&kept), json(&dropped)));
            takes_weak
        };
        if takes_weak {
            merged.clone_from(weak);
            self.from_weak.push(field);
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Copies the fields of a set from one issue to another, with their forms.
fn copy(from: &Issue, to: &mut Issue, fields: u128) {
    struct Copy(u128, Vec<Field>);
    impl Visit3 for Copy {
        fn field<S: Slot>(&mut self, field: Field, _base: &S, other: &S, merged: &mut S) {
            if bit(field) & self.0 != 0 {
                merged.clone_from(other);
                self.1.push(field);
            }
        }
    }
    let mut copy = Copy(fields, Vec::new());
    Issue::visit3(from, from, to, &mut copy);
    for field in copy.1 {
        to.forms.adopt(&from.forms, field.as_str(), bit(field));
    }
}

/// Where it stands: one side's status with everything that belongs to it.
fn standing(base: &Issue, weak: &Issue, strong: &Issue, is_tie: bool, merged: &mut Issue, choices: &mut Vec<Choice>) {
    let same = |a: &Issue, b: &Issue| {
        let times = |issue: &Issue| [&issue.closed_at, &issue.deleted_at].map(|time| time.as_ref().map(|time| time.at));
        let words = |issue: &'_ Issue| {
            [
                &issue.status,
                &issue.close_reason,
                &issue.resolution,
                &issue.closed_by_session,
                &issue.deleted_by,
                &issue.delete_reason,
            ]
            .map(ToOwned::to_owned)
        };
        times(a) == times(b) && words(a) == words(b) && a.original_type == b.original_type
    };
    if same(weak, strong) {
        return;
    }
    let mut choose = |kept: &Issue, dropped: &Issue, code: &'static str| {
        choices.push(Choice::new(&kept.id, "status", code, state(kept), state(dropped)));
    };
    let takes_weak = if weak.is_tombstone() != strong.is_tombstone() && !base.is_tombstone() {
        let (dead, alive) = if weak.is_tombstone() { (weak, strong) } else { (strong, weak) };
        if !base.id.is_empty() && !differs(base, alive) {
            weak.is_tombstone()
        } else {
            let deleted = dead.deleted_at.as_ref().map(|time| time.at.as_micros()).or(dead.changed_at());
            let lifted = alive.changed_at() > deleted;
            if lifted {
                choose(alive, dead, "tombstone_lifted");
            } else {
                choose(dead, alive, "tombstone_kept");
            }
            weak.is_tombstone() != lifted
        }
    } else if same(weak, base) {
        false
    } else if same(strong, base) {
        true
    } else {
        let closed = |issue: &Issue| status::is_closed(&issue.status);
        let text = |issue: &Issue| state(issue).to_string();
        let greater = is_tie && text(weak) > text(strong);
        match (closed(weak), closed(strong)) {
            (weak_closed, strong_closed) if weak_closed != strong_closed => {
                let (shut, open) = if weak_closed { (weak, strong) } else { (strong, weak) };
                let reopened = !base.id.is_empty() && closed(base);
                if reopened && !is_tie && strong_closed {
                    choose(shut, open, "reclose_is_newer");
                    false
                } else if reopened && !is_tie {
                    choose(open, shut, "reopen_is_newer");
                    false
                } else {
                    choose(shut, open, "closed_over_open");
                    weak_closed
                }
            }
            _ => {
                let (kept, dropped) = if greater { (weak, strong) } else { (strong, weak) };
                choose(kept, dropped, "field_conflict");
                greater
            }
        }
    };
    if takes_weak {
        copy(weak, merged, STANDING);
    }
}

/// The standing of an issue, to be shown.
fn state(issue: &Issue) -> Value {
    let mut object = Map::new();
    for field in [
        Field::Status,
        Field::ClosedAt,
        Field::CloseReason,
        Field::Resolution,
        Field::ClosedBySession,
        Field::DeletedAt,
        Field::DeleteReason,
    ] {
        let value = issue.value(field);
        if !value.is_null() {
            object.insert(field.as_str().to_owned(), value);
        }
    }
    Value::Object(object)
}

type TextOf = fn(&mut Issue) -> &mut String;

fn texts(base: &Issue, weak: &Issue, strong: &Issue, is_tie: bool, merged: &mut Issue, choices: &mut Vec<Choice>) {
    let fields: [(Field, &str, &str, &str, TextOf); 4] = [
        (Field::Description, &base.description, &weak.description, &strong.description, |issue| &mut issue.description),
        (Field::Design, &base.design, &weak.design, &strong.design, |issue| &mut issue.design),
        (
            Field::AcceptanceCriteria,
            &base.acceptance_criteria,
            &weak.acceptance_criteria,
            &strong.acceptance_criteria,
            |issue| &mut issue.acceptance_criteria,
        ),
        (Field::Notes, &base.notes, &weak.notes, &strong.notes, |issue| &mut issue.notes),
    ];
    for (field, before, of_weak, of_strong, place) in fields {
        let is_log = field == Field::Notes;
        // With equal times the order of the two is that of their texts.
        let swapped = is_tie && of_weak > of_strong;
        let (lesser, greater) = if swapped { (of_strong, of_weak) } else { (of_weak, of_strong) };
        let outcome = text::merge(before, lesser, greater, is_log);
        let text = match &outcome {
            Outcome::Strong => greater,
            Outcome::Weak => lesser,
            Outcome::Joined(both) => {
                let code = if is_log { "notes_joined" } else { "text_joined" };
                choices.push(Choice::new(&strong.id, field.as_str(), code, Value::String(both.clone()), Value::Null));
                both
            }
            Outcome::Conflict if before.is_empty() && greater.is_empty() => lesser,
            Outcome::Conflict if before.is_empty() && lesser.is_empty() => greater,
            Outcome::Conflict => {
                let (kept, dropped) = (Value::String(greater.to_owned()), Value::String(lesser.to_owned()));
                choices.push(Choice::new(&strong.id, field.as_str(), "text_conflict", kept, dropped));
                greater
            }
        };
        if text == of_strong {
            continue;
        }
        if text == of_weak {
            copy(weak, merged, bit(field));
        } else {
            text.clone_into(place(merged));
            merged.forms.forget(field.as_str(), bit(field));
        }
    }
}

fn parts(base: &Issue, weak: &Issue, strong: &Issue, is_tie: bool, merged: &mut Issue, choices: &mut Vec<Choice>) {
    let id = &strong.id;
    merged.labels = list::labels(&base.labels, &weak.labels, &strong.labels);
    merged.dependencies = list::edges(id, base, weak, strong, is_tie, choices);
    merged.comments = list::comments(id, base, weak, strong, choices);
    for (field, is_weak) in [
        (Field::Labels, merged.labels == weak.labels && merged.labels != strong.labels),
        (Field::Dependencies, merged.dependencies == weak.dependencies && merged.dependencies != strong.dependencies),
        (Field::Comments, merged.comments == weak.comments && merged.comments != strong.comments),
    ] {
        if is_weak {
            merged.forms.adopt(&weak.forms, field.as_str(), bit(field));
        }
    }
    metadata(base, weak, strong, is_tie, merged, choices);
    let (extra, from_weak) = list::maps(&base.extra, &weak.extra, &strong.extra, is_tie, |key, kept, dropped| {
        choices.push(Choice::new(id, key, "field_conflict", kept, dropped));
    });
    merged.extra = extra;
    for key in from_weak {
        merged.forms.adopt(&weak.forms, &key, 0);
    }
}

fn metadata(base: &Issue, weak: &Issue, strong: &Issue, is_tie: bool, merged: &mut Issue, choices: &mut Vec<Choice>) {
    let (before, of_weak, of_strong) = (&base.metadata, &weak.metadata, &strong.metadata);
    if of_weak == of_strong || of_weak == before {
        return;
    }
    if of_strong == before {
        copy(weak, merged, bit(Field::Metadata));
        return;
    }
    let none = Map::new();
    let object = |value: &'_ Option<Value>| match value {
        None => Some(Map::new()),
        Some(Value::Object(object)) => Some(object.clone()),
        Some(_) => None,
    };
    let id = &strong.id;
    if let (Some(of_weak), Some(of_strong)) = (object(of_weak), object(of_strong)) {
        let before = object(before).unwrap_or(none);
        let (both, _) = list::maps(&before, &of_weak, &of_strong, is_tie, |key, kept, dropped| {
            choices.push(Choice::new(id, &format!("metadata.{key}"), "field_conflict", kept, dropped));
        });
        merged.metadata = Some(Value::Object(both));
        return;
    }
    let (text_of_weak, text_of_strong) = (canonical(of_weak), canonical(of_strong));
    let takes_weak = is_tie && text_of_weak > text_of_strong;
    let (kept, dropped) = if takes_weak { (text_of_weak, text_of_strong) } else { (text_of_strong, text_of_weak) };
    choices.push(Choice::new(id, "metadata", "field_conflict", json(&kept), json(&dropped)));
    if takes_weak {
        copy(weak, merged, bit(Field::Metadata));
    }
}

/// What follows from the rest: the later change, the greater counts, and no hash where it would be wrong.
fn derived(weak: &Issue, strong: &Issue, merged: &mut Issue) {
    let at = |issue: &Issue| issue.updated_at.as_ref().map(|time| time.at);
    if at(weak) > at(strong) {
        copy(weak, merged, bit(Field::UpdatedAt));
    }
    if weak.dependent_count > strong.dependent_count {
        copy(weak, merged, bit(Field::DependentCount));
    }
    let counted = |list: &[_], weak: &[_], strong: &[_], of_weak: Option<i64>, of_strong: Option<i64>| match () {
        () if of_weak.is_none() && of_strong.is_none() => None,
        () if list == strong => of_strong.or(of_weak),
        () if list == weak => of_weak.or(of_strong),
        () => i64::try_from(list.len()).ok(),
    };
    let keys = |issue: &'_ Issue| -> Vec<String> {
        issue.dependencies.iter().map(|edge| format!("{} {}", edge.kind, edge.depends_on_id)).collect()
    };
    let said = |issue: &'_ Issue| -> Vec<String> {
        issue.comments.iter().map(|comment| format!("{:?}", comment.key())).collect()
    };
    let (of_weak, of_strong) = (weak.dependency_count, strong.dependency_count);
    merged.dependency_count = counted(&keys(merged), &keys(weak), &keys(strong), of_weak, of_strong);
    let (of_weak, of_strong) = (weak.comment_count, strong.comment_count);
    merged.comment_count = counted(&said(merged), &said(weak), &said(strong), of_weak, of_strong);
    if !merged.parent.is_empty() {
        let is_parent = |edge: &&super::super::edge::Edge| edge.kind == "parent-child";
        let parents: Vec<&str> =
            merged.dependencies.iter().filter(is_parent).map(|edge| edge.depends_on_id.as_str()).collect();
        if !parents.is_empty() && !parents.contains(&merged.parent.as_str()) {
            merged.parent = parents[0].to_owned();
        }
    }
    if weak.content_hash != strong.content_hash {
        if !differs(merged, weak) {
            copy(weak, merged, bit(Field::ContentHash));
        } else if differs(merged, strong) {
            merged.content_hash.clear();
            merged.forms.forget("content_hash", bit(Field::ContentHash));
        }
    }
}
