//! One object of a line, key by key, as a record is written that was spelled plainly.

use crate::model::Timestamp;

use super::forms::Field;
use super::slot::{put_json, put_text};
use super::time::put_canonical;

/// An object on its way into a line. The caller keeps the order of the keys.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Object<'a> {
    /// Writes the object whose keys `fill` writes.
    pub(crate) fn put(out: &'a mut Vec<u8>, fill: impl FnOnce(&mut Self)) {
        out.push(b'{');
        let mut object = Self { out, is_first: true };
        fill(&mut object);
        object.out.push(b'}');
    }

    fn key(&mut self, field: Field) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(field.as_str().as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A text.
    pub(crate) fn text(&mut self, field: Field, text: &str) {
        self.key(field);
        put_text(text, self.out);
    }

    /// A text, where there is one.
    pub(crate) fn said(&mut self, field: Field, text: &str) {
        if !text.is_empty() {
            self.text(field, text);
        }
    }

    /// A boolean, where it is true.
    pub(crate) fn marked(&mut self, field: Field, is_so: bool) {
        if is_so {
            self.key(field);
            self.out.extend_from_slice(b"true");
        }
    }

    /// Any value.
    pub(crate) fn json(&mut self, field: Field, value: &impl serde::Serialize) {
        self.key(field);
        put_json(value, self.out);
    }

    /// A time.
    pub(crate) fn time(&mut self, field: Field, at: Timestamp) {
        self.key(field);
        self.out.push(b'"');
        put_canonical(at, self.out);
        self.out.push(b'"');
    }

    /// A time, where there is one.
    pub(crate) fn time_said(&mut self, field: Field, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.time(field, at);
        }
    }

    /// A list of objects, where there are any.
    pub(crate) fn list<T>(
        &mut self,
        field: Field,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(T, &mut Object<'_>),
    ) {
        let mut is_first = true;
        for item in items {
            if is_first {
                self.key(field);
            }
            self.out.push(if is_first { b'[' } else { b',' });
            is_first = false;
            Object::put(self.out, |object| fill(item, object));
        }
        if !is_first {
            self.out.push(b']');
        }
    }
}
