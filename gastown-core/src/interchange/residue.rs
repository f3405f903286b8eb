//! What of a record has no column: one small JSON object beside the columns, from which it is made whole again.

use serde_json::{Map, Value};

use super::edge::{Comment, Edge};
use super::forms::{Field, Forms};
use super::issue::Issue;
use super::record::{Fields, Visit, VisitMut, canonical};
use super::repair;
use super::scan;
use super::slot::{Said, Slot};

/// How many parts a stored value may have; it was bounded when it was read.
const VALUES_MAX: usize = usize::MAX;

impl Issue {
    /// What is lost when only the fields with a column are stored: other fields, unknown keys, spellings and forms.
    ///
    /// It is empty for an ordinary issue. Edges and comments have residues of their own; where `has_column` says no to
    /// [`Field::Dependencies`], [`Field::Comments`] or [`Field::Labels`], they are in here whole.
    ///
    /// ```
    /// use gastown_core::interchange::{Entry, Field, Issue, Limits, Reader, Record, Dialect, write_issue};
    /// let line = br#"{"id":"gt-1","title":"t","x":1e2,"created_at":"2025-10-11T20:00:00-07:00","pinned":0}"#;
    /// let Some(Entry::Read(read)) = Reader::new(&line[..], Limits::default()).next_entry().unwrap() else { panic!() };
    /// let Record::Issue(issue) = read.record else { panic!() };
    /// let columns = |field| matches!(field, Field::Id | Field::Title | Field::CreatedAt | Field::Pinned);
    /// let residue = issue.residue(columns);
    /// let mut stored = Issue { id: "gt-1".into(), title: "t".into(), ..Issue::default() };
    /// stored.created_at = issue.created_at.as_ref().map(|time| time.at.into());
    /// stored.restore(&residue);
    /// assert_eq!(stored, *issue);
    /// ```
    pub fn residue(&self, has_column: impl Fn(Field) -> bool) -> Map<String, Value> {
        residue(self, &has_column)
    }

    /// Puts a residue back beside the fields that are already set from columns.
    pub fn restore(&mut self, residue: &Map<String, Value>) {
        restore(self, residue);
        for edge in &mut self.dependencies {
            repair::edge(edge, &mut Said::new(VALUES_MAX));
        }
        if self.wisp && !self.ephemeral {
            self.wisp = false;
        }
    }

    /// One field as JSON; null where it says nothing.
    pub fn value(&self, field: Field) -> Value {
        let mut get = Get { field, found: Value::Null };
        self.visit(&mut get);
        get.found
    }
}

impl Edge {
    /// The same for one edge.
    pub fn residue(&self, has_column: impl Fn(Field) -> bool) -> Map<String, Value> {
        residue(self, &has_column)
    }

    /// Puts a residue back beside the fields that are already set from columns.
    pub fn restore(&mut self, residue: &Map<String, Value>) {
        restore(self, residue);
    }
}

impl Comment {
    /// The same for one comment.
    pub fn residue(&self, has_column: impl Fn(Field) -> bool) -> Map<String, Value> {
        residue(self, &has_column)
    }

    /// Puts a residue back beside the fields that are already set from columns.
    pub fn restore(&mut self, residue: &Map<String, Value>) {
        restore(self, residue);
    }
}

fn residue<T: Fields>(record: &T, has_column: &dyn Fn(Field) -> bool) -> Map<String, Value> {
    let mut rest = Rest { has_column, fields: Map::new(), texts: Map::new(), times: Map::new() };
    record.visit(&mut rest);
    let mut object = Map::new();
    for (name, part) in [
        ("extra", record.extra().clone()),
        ("fields", rest.fields),
        ("forms", record.forms().to_json()),
        ("texts", rest.texts),
        ("times", rest.times),
    ] {
        if !part.is_empty() {
            object.insert(name.to_owned(), Value::Object(part));
        }
    }
    object
}

fn restore<T: Fields>(record: &mut T, residue: &Map<String, Value>) {
    let part = |name: &str| residue.get(name).and_then(Value::as_object);
    if let Some(extra) = part("extra") {
        record.extra_mut().clone_from(extra);
    }
    let (fields, texts, times) = (part("fields"), part("texts"), part("times"));
    if fields.or(texts).or(times).is_some() {
        let none = &Map::new();
        let (fields, texts, times) = (fields.unwrap_or(none), texts.unwrap_or(none), times.unwrap_or(none));
        record.visit_mut(&mut Back { fields, texts, times });
    }
    if let Some(forms) = part("forms") {
        *record.forms_mut() = Forms::from_json(forms);
    }
}

struct Rest<'a> {
    has_column: &'a dyn Fn(Field) -> bool,
    fields: Map<String, Value>,
    /// Fields as JSON texts, where a number in them would be printed otherwise.
    texts: Map<String, Value>,
    times: Map<String, Value>,
}

impl Visit for Rest<'_> {
    fn field<S: Slot>(&mut self, field: Field, always: bool, slot: &S) {
        if !(self.has_column)(field) {
            if always || !slot.is_blank() {
                let text = canonical(slot);
                let is_plain = scan::check(&text, VALUES_MAX) == Ok(true);
                match serde_json::from_str(&text) {
                    Ok(value) if is_plain => self.fields.insert(field.as_str().to_owned(), value),
                    _ => self.texts.insert(field.as_str().to_owned(), Value::String(text.into())),
                };
            }
        } else if let Some(text) = slot.spelling() {
            self.times.insert(field.as_str().to_owned(), Value::String(text.to_owned()));
        }
    }
}

struct Back<'a> {
    fields: &'a Map<String, Value>,
    texts: &'a Map<String, Value>,
    times: &'a Map<String, Value>,
}

impl VisitMut for Back<'_> {
    fn field<S: Slot>(&mut self, field: Field, _always: bool, slot: &mut S) {
        let key = field.as_str();
        let text = match (self.texts.get(key), self.fields.get(key)) {
            (Some(Value::String(text)), _) => Some(text.clone()),
            (_, value) => value.map(Value::to_string),
        };
        if let Some(text) = text {
            // What somebody damaged is passed over; a stored value is no deeper than JSON readers go.
            if let Ok((value, _)) = S::read(key, &text, &mut Said::new(VALUES_MAX)) {
                *slot = value;
            }
        }
        if let Some(Value::String(text)) = self.times.get(key) {
            slot.respell(text);
        }
    }
}

struct Get {
    field: Field,
    found: Value,
}

impl Visit for Get {
    fn field<S: Slot>(&mut self, field: Field, _always: bool, slot: &S) {
        if field == self.field && !slot.is_blank() {
            self.found = serde_json::from_str(&canonical(slot)).unwrap_or(Value::Null);
        }
    }
}
