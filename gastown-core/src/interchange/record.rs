//! Records with known keys: how they are declared, read and written.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::flaw::excerpt;
use super::forms::{Field, Forms, Kept, Keys, bit};
use super::scan::{self, Fault};
use super::slot::{Said, Slot, Spelling, Style, put_text};

/// A record with known keys, unknown keys and forms.
pub(super) trait Fields: Default {
    /// Reads the value of a known key; false where the key is unknown.
    fn take(&mut self, key: &str, raw: &str, taken: &mut Taken<'_>) -> Result<bool, Fault>;
    /// Shows every field in the order of writing.
    fn visit(&self, visitor: &mut impl Visit);
    /// The same, to change them.
    fn visit_mut(&mut self, visitor: &mut impl VisitMut);
    /// Shows every field of a common ancestor and of two descendants, the second to be changed.
    fn visit3(base: &Self, other: &Self, merged: &mut Self, visitor: &mut impl Visit3);
    /// The unknown keys.
    fn extra(&self) -> &Map<String, Value>;
    /// The unknown keys, to change them.
    fn extra_mut(&mut self) -> &mut Map<String, Value>;
    /// How it was spelled.
    fn forms(&self) -> &Forms;
    /// How it was spelled, to change it.
    fn forms_mut(&mut self) -> &mut Forms;
}

/// Looks at each field.
pub(super) trait Visit {
    /// One field; `always` is written also where it is blank.
    fn field<S: Slot>(&mut self, field: Field, always: bool, slot: &S);
}

/// Changes each field.
pub(super) trait VisitMut {
    /// One field.
    fn field<S: Slot>(&mut self, field: Field, always: bool, slot: &mut S);
}

/// Brings each field together.
pub(super) trait Visit3 {
    /// One field.
    fn field<S: Slot>(&mut self, field: Field, base: &S, other: &S, merged: &mut S);
}

/// Which keys were seen, and what there is to say.
pub(super) struct Taken<'a> {
    pub(super) seen: Keys,
    pub(super) said: &'a mut Said,
}

/// Declares a record: `always` fields are written in any case, `maybe` fields only where they say something.
macro_rules! keyed {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$fmeta:meta])* $when:ident $field:ident / $key:ident = $text:literal: $type:ty $(= $default:expr)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$fmeta])* pub $field: $type,)*
            /// Unknown keys with their values.
            pub extra: serde_json::Map<String, serde_json::Value>,
            /// How it was spelled.
            pub forms: $crate::interchange::Forms,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $crate::interchange::record::keyed!(@default $($default)?),)*
                    extra: serde_json::Map::new(),
                    forms: $crate::interchange::Forms::default(),
                }
            }
        }

        impl $crate::interchange::record::Fields for $name {
            fn take(
                &mut self,
                key: &str,
                raw: &str,
                taken: &mut $crate::interchange::record::Taken<'_>,
            ) -> Result<bool, $crate::interchange::scan::Fault> {
                match key {
                    $($text => $crate::interchange::record::take(
                        &mut self.$field, &mut self.forms, $crate::interchange::Field::$key, raw, taken,
                    )?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }
            fn visit(&self, visitor: &mut impl $crate::interchange::record::Visit) {
                $(visitor.field($crate::interchange::Field::$key, $crate::interchange::record::keyed!(@when $when), &self.$field);)*
            }
            fn visit_mut(&mut self, visitor: &mut impl $crate::interchange::record::VisitMut) {
                $(visitor.field($crate::interchange::Field::$key, $crate::interchange::record::keyed!(@when $when), &mut self.$field);)*
            }
            fn visit3(base: &Self, other: &Self, merged: &mut Self, visitor: &mut impl $crate::interchange::record::Visit3) {
                $(visitor.field($crate::interchange::Field::$key, &base.$field, &other.$field, &mut merged.$field);)*
            }
            fn extra(&self) -> &serde_json::Map<String, serde_json::Value> {
                &self.extra
            }
            fn extra_mut(&mut self) -> &mut serde_json::Map<String, serde_json::Value> {
                &mut self.extra
            }
            fn forms(&self) -> &$crate::interchange::Forms {
                &self.forms
            }
            fn forms_mut(&mut self) -> &mut $crate::interchange::Forms {
                &mut self.forms
            }
        }
    };
    (@default $default:expr) => { $default };
    (@default) => { Default::default() };
    (@when always) => { true };
    (@when maybe) => { false };
}

pub(super) use keyed;

/// Reads one known key into its slot.
pub(super) fn take<S: Slot>(
    slot: &mut S,
    forms: &mut Forms,
    field: Field,
    raw: &str,
    taken: &mut Taken<'_>,
) -> Result<(), Fault> {
    let (key, bits) = (field.as_str(), bit(field));
    let (value, spelling) = S::read(key, raw, taken.said)?;
    if taken.seen & bits != 0 {
        say_duplicate(key, &text_of(slot, key, forms), taken.said);
        forms.forget(key, bits);
    }
    taken.seen |= bits;
    *slot = value;
    respell(slot, forms, field, raw, spelling);
    Ok(())
}

/// Notes how a value was spelled.
pub(super) fn respell<S: Slot>(slot: &S, forms: &mut Forms, field: Field, raw: &str, spelling: Spelling) {
    let bits = bit(field);
    match spelling {
        Spelling::Plain if slot.is_blank() => forms.shown |= bits,
        Spelling::Plain => {}
        Spelling::Null => forms.null |= bits,
        Spelling::Coded => {
            forms.coded |= bits;
            if slot.is_blank() {
                forms.shown |= bits;
            }
        }
        Spelling::Exact => forms.keep(field.as_str(), Kept { was: raw.into(), now: None }),
    }
}

fn say_duplicate(key: &str, lost: &str, said: &mut Said) {
    let message = format!("the key is there twice; the last one counts, {} does not", excerpt(lost));
    said.repair("duplicate_key", key.to_owned(), message);
}

fn text_of<S: Slot>(slot: &S, key: &str, forms: &Forms) -> String {
    let mut out = Vec::new();
    match forms.kept(key) {
        Some(kept) => out.extend_from_slice(kept.was.as_bytes()),
        None => slot.put(Style::NATIVE, &mut out),
    }
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Reads a record from the keys of its object.
pub(super) fn read<T: Fields>(pairs: Vec<(Cow<'_, str>, &RawValue)>, said: &mut Said) -> Result<T, Fault> {
    let mut record = T::default();
    let mut taken = Taken { seen: 0, said };
    for (key, raw) in pairs {
        let raw = raw.get();
        if record.take(&key, raw, &mut taken)? {
            continue;
        }
        let (value, exact) = unknown(&key, raw, taken.said)?;
        if let Some(lost) = record.extra_mut().insert(key.to_string(), value) {
            say_duplicate(&key, &lost.to_string(), taken.said);
            record.forms_mut().forget(&key, 0);
        }
        if !exact {
            record.forms_mut().keep(&key, Kept { was: raw.into(), now: None });
        }
    }
    let seen = taken.seen;
    let mut absent = Absent { seen, found: Vec::new() };
    record.visit(&mut absent);
    for (field, now) in absent.found {
        record.forms_mut().keep(field.as_str(), Kept { was: "".into(), now: Some(now) });
    }
    Ok(record)
}

/// The value of an unknown key, and whether it is printed as it was written.
fn unknown(key: &str, raw: &str, said: &mut Said) -> Result<(Value, bool), Fault> {
    if let Some(text) = scan::string(raw) {
        return Ok((Value::String(text.into_owned()), true));
    }
    let exact = scan::check(raw, said.values_max)?;
    if let Ok(value) = serde_json::from_str(raw) {
        return Ok((value, exact));
    }
    let message = "a number is beyond every number; the text is kept";
    said.repair("number_out_of_range", key.to_owned(), message);
    Ok((Value::Null, false))
}

/// The fields that are always written and were not there.
struct Absent {
    seen: Keys,
    found: Vec<(Field, Box<str>)>,
}

impl Visit for Absent {
    fn field<S: Slot>(&mut self, field: Field, always: bool, slot: &S) {
        if always && self.seen & bit(field) == 0 {
            self.found.push((field, canonical(slot)));
        }
    }
}

/// The JSON text of a value as we write it.
pub(super) fn canonical<S: Slot>(slot: &S) -> Box<str> {
    let mut out = Vec::new();
    slot.put(Style::NATIVE, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8").into()
}

/// Puts another value in the place of what was read, and keeps how that was written.
pub(super) fn amend<S: Slot>(slot: &mut S, forms: &mut Forms, field: Field, always: bool, value: S) {
    let mut was = Vec::new();
    put_value(slot, forms, field, always, Style::NATIVE, &mut was);
    let was = String::from_utf8(was).expect("JSON is UTF-8").into();
    *slot = value;
    forms.keep(field.as_str(), Kept { was, now: Some(canonical(slot)) });
}

/// Forgets how a record was spelled, and leaves what it says.
pub(super) fn forget_spelling<T: Fields>(record: &mut T) {
    struct Forget;
    impl VisitMut for Forget {
        fn field<S: Slot>(&mut self, _field: Field, _always: bool, slot: &mut S) {
            slot.forget_spelling();
        }
    }
    record.visit_mut(&mut Forget);
    *record.forms_mut() = Forms::default();
}

/// Writes a record as one object.
pub(super) fn put<T: Fields>(record: &T, style: Style, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut put = Put { style, forms: record.forms(), out, first: true };
    record.visit(&mut put);
    for (key, value) in record.extra() {
        put.key(key);
        match record.forms().kept(key) {
            Some(kept) if serde_json::from_str::<Value>(&kept.was).unwrap_or(Value::Null) == *value => {
                put.out.extend_from_slice(kept.was.as_bytes());
            }
            _ => serde_json::to_writer(&mut *put.out, value).expect("JSON is written to memory"),
        }
    }
    put.out.push(b'}');
}

struct Put<'a> {
    style: Style,
    forms: &'a Forms,
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Put<'_> {
    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        put_text(key, self.out);
        self.out.push(b':');
    }
}

impl Visit for Put<'_> {
    fn field<S: Slot>(&mut self, field: Field, always: bool, slot: &S) {
        if !always && slot.is_blank() && (!self.style.native || self.forms.touched() & bit(field) == 0) {
            return;
        }
        let (start, first) = (self.out.len(), self.first);
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(field.as_str().as_bytes());
        self.out.extend_from_slice(b"\":");
        let before = self.out.len();
        put_value(slot, self.forms, field, always, self.style, self.out);
        if self.out.len() == before {
            self.out.truncate(start);
            self.first = first;
        }
    }
}

/// Writes a value as its forms say; nothing where its key is not written at all.
fn put_value<S: Slot>(slot: &S, forms: &Forms, field: Field, always: bool, style: Style, out: &mut Vec<u8>) {
    let bits = bit(field);
    if !style.native {
        if always || !slot.is_blank() {
            slot.put(Style { coded: style.of_edge && field == Field::Metadata, ..style }, out);
        }
        return;
    }
    if forms.has_kept(bits)
        && let Some(kept) = forms.kept(field.as_str())
        && holds(kept, slot, field)
    {
        out.extend_from_slice(kept.was.as_bytes());
        return;
    }
    if slot.is_blank() {
        if forms.null & bits != 0 {
            out.extend_from_slice(b"null");
            return;
        }
        if !always && forms.shown & bits == 0 {
            return;
        }
    }
    slot.put(Style { coded: forms.coded & bits != 0, ..style }, out);
}

/// Whether the value is still what the kept text was read as.
fn holds<S: Slot>(kept: &Kept, slot: &S, field: Field) -> bool {
    if let Some(now) = &kept.now {
        return **now == *canonical(slot);
    }
    let mut said = Said::new(usize::MAX);
    S::read(field.as_str(), &kept.was, &mut said).is_ok_and(|(value, _)| value == *slot)
}
