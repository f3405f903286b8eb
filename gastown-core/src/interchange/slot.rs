//! The types of fields: each reads any JSON text and is written back.

use std::borrow::Cow;

use serde_json::Value;

use super::edge::{Comment, CommentId, Edge};
use super::flaw::Repair;
use super::record::{self, Fields};
use super::scan::{self, Fault};
use super::time::{Time, put_canonical};

/// The key of the list of edges.
pub(super) const EDGES: &str = "dependencies";

/// What reading has to say besides the value.
pub(super) struct Said {
    repairs: Vec<Repair>,
    pub(super) values_max: usize,
    /// The list and the entry that are being read.
    within: Option<(&'static str, usize)>,
}

impl Said {
    pub(super) fn new(values_max: usize) -> Self {
        Self { repairs: Vec::new(), values_max, within: None }
    }

    pub(super) fn repair(
        &mut self,
        code: &'static str,
        key: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) {
        let key = match self.within {
            Some((list, entry)) => format!("{list}[{entry}].{}", key.into()).into(),
            None => key.into(),
        };
        self.repairs.push(Repair::new(code, key, message));
    }

    /// Does something of which all that is said is about one entry of a list.
    pub(super) fn within<T>(&mut self, list: &'static str, entry: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.within.replace((list, entry));
        let done = act(self);
        self.within = outer;
        done
    }

    /// Whether an edge is read, of which other tools write the metadata as text.
    fn is_of_edge(&self) -> bool {
        matches!(self.within, Some((EDGES, _)))
    }

    pub(super) fn into_repairs(self) -> Vec<Repair> {
        self.repairs
    }
}

/// How a value was spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As we would write it.
    Plain,
    /// Empty as null.
    Null,
    /// Another type that means it.
    Coded,
    /// Any other way: the text itself has to be kept.
    Exact,
}

/// How a value is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// As another type: 0 and 1, JSON inside text.
    pub(super) coded: bool,
    /// Original spellings are used.
    pub(super) native: bool,
    /// For other tools, which write metadata of an edge as text.
    pub(super) of_edge: bool,
}

impl Style {
    pub(super) const NATIVE: Self = Self { coded: false, native: true, of_edge: false };
    pub(super) const OUTWARD: Self = Self { coded: false, native: false, of_edge: false };
}

/// A type of a field.
pub(super) trait Slot: Clone + PartialEq + Sized {
    /// Reads the JSON text of one value.
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault>;
    /// Whether it is written only where it was spelled out.
    fn is_blank(&self) -> bool;
    /// Writes it as JSON.
    fn put(&self, style: Style, out: &mut Vec<u8>);
    /// Whether it means the same.
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    /// The original spelling, where it has one of its own.
    fn spelling(&self) -> Option<&str> {
        None
    }
    /// Takes an original spelling back.
    fn respell(&mut self, _text: &str) {}
    /// Forgets original spellings.
    fn forget_spelling(&mut self) {}
}

fn wrong(key: &'static str, raw: &str, said: &mut Said) {
    said.repair("wrong_type", key, format!("{} is of another type; the text is kept", super::flaw::excerpt(raw)));
}

pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, text).expect("a text is written to memory");
}

pub(super) fn put_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, value).expect("JSON is written to memory");
}

impl Slot for String {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        if let Some(text) = scan::string(raw) {
            return Ok((text.into_owned(), Spelling::Plain));
        }
        if raw == "null" {
            return Ok((Self::new(), Spelling::Null));
        }
        wrong(key, raw, said);
        let is_scalar = !raw.starts_with(['{', '[']);
        Ok((if is_scalar { raw.to_owned() } else { Self::new() }, Spelling::Exact))
    }
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
    fn put(&self, _style: Style, out: &mut Vec<u8>) {
        put_text(self, out);
    }
}

impl Slot for bool {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        Ok(match raw {
            "true" => (true, Spelling::Plain),
            "false" => (false, Spelling::Plain),
            "null" => (false, Spelling::Null),
            "0" | "1" => {
                said.repair("bool_as_number", key, "a number stands for a boolean");
                (raw == "1", Spelling::Coded)
            }
            _ => {
                wrong(key, raw, said);
                (matches!(raw, "\"true\"" | "\"1\""), Spelling::Exact)
            }
        })
    }
    fn is_blank(&self) -> bool {
        !self
    }
    fn put(&self, style: Style, out: &mut Vec<u8>) {
        let text: &[u8] = match (self, style.coded) {
            (true, false) => b"true",
            (false, false) => b"false",
            (true, true) => b"1",
            (false, true) => b"0",
        };
        out.extend_from_slice(text);
    }
}

/// The whole number a JSON text means, and whether the text is the plain one.
fn whole(key: &'static str, raw: &str, said: &mut Said) -> Option<(i64, bool)> {
    if let Ok(number) = raw.parse::<i64>() {
        return Some((number, raw != "-0"));
    }
    if raw.starts_with('"') {
        wrong(key, raw, said);
        return scan::string(raw)?.trim().parse().ok().map(|number| (number, false));
    }
    if !raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        wrong(key, raw, said);
        return None;
    }
    let float = raw.parse::<f64>().ok().filter(|float| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0);
    if float.is_none() {
        said.repair(
            "number_out_of_range",
            key,
            format!("{} is no whole number of 64 bits; the text is kept", super::flaw::excerpt(raw)),
        );
    }
    #[allow(clippy::cast_possible_truncation, reason = "whole and below two to the 53rd")]
    float.map(|float| (float as i64, false))
}

impl Slot for Option<i64> {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        if raw == "null" {
            return Ok((None, Spelling::Null));
        }
        Ok(match whole(key, raw, said) {
            Some((number, true)) => (Some(number), Spelling::Plain),
            other => (other.map(|(number, _)| number), Spelling::Exact),
        })
    }
    fn is_blank(&self) -> bool {
        self.is_none()
    }
    fn put(&self, _style: Style, out: &mut Vec<u8>) {
        put_json(self, out);
    }
}

/// The priority: 0 to 4.
impl Slot for u8 {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        if raw == "null" {
            said.repair("priority_missing", key, "null is read as 2");
            return Ok((2, Spelling::Exact));
        }
        let named =
            scan::string(raw).and_then(|text| text.strip_prefix(['P', 'p']).and_then(|digit| digit.parse().ok()));
        let read = if let Some(number) = named {
            wrong(key, raw, said);
            Some((number, false))
        } else {
            whole(key, raw, said)
        };
        let Some((number, plain)) = read else { return Ok((2, Spelling::Exact)) };
        if (0..=4).contains(&number) {
            let spelling = if plain { Spelling::Plain } else { Spelling::Exact };
            return Ok((u8::try_from(number).unwrap_or(2), spelling));
        }
        let nearest = if number < 0 { 0 } else { 4 };
        said.repair("priority_out_of_range", key, format!("{number} is read as {nearest}; the number is kept"));
        Ok((nearest, Spelling::Exact))
    }
    fn is_blank(&self) -> bool {
        false
    }
    fn put(&self, _style: Style, out: &mut Vec<u8>) {
        put_json(self, out);
    }
}

impl Slot for Option<Time> {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        if raw == "null" {
            return Ok((None, Spelling::Null));
        }
        let Some(text) = scan::string(raw) else {
            wrong(key, raw, said);
            return Ok((None, Spelling::Exact));
        };
        if text.is_empty() {
            return Ok((None, Spelling::Exact));
        }
        let Some((time, is_strict)) = Time::parse_noting(&text) else {
            said.repair(
                "time_unreadable",
                key,
                format!("{} is no time; the text is kept", super::flaw::excerpt(&text)),
            );
            return Ok((None, Spelling::Exact));
        };
        if !is_strict {
            said.repair("time_without_offset", key, "the time has no offset or no T and is taken as RFC 3339 in UTC");
        }
        Ok((Some(time), Spelling::Plain))
    }
    fn is_blank(&self) -> bool {
        self.is_none()
    }
    fn put(&self, style: Style, out: &mut Vec<u8>) {
        match self {
            None => out.extend_from_slice(b"null"),
            Some(time) => {
                if let Some(text) = time.valid_text(!style.native) {
                    put_text(text, out);
                } else {
                    // Nothing in it wants to be escaped.
                    out.push(b'"');
                    put_canonical(time.at, out);
                    out.push(b'"');
                }
            }
        }
    }
    fn same(&self, other: &Self) -> bool {
        self.as_ref().map(|time| time.at) == other.as_ref().map(|time| time.at)
    }
    fn spelling(&self) -> Option<&str> {
        self.as_ref()?.text.as_deref()
    }
    fn respell(&mut self, text: &str) {
        if let Some(time) = self.take() {
            *self = Some(time.spelled(text));
        }
    }
    fn forget_spelling(&mut self) {
        if let Some(time) = self {
            time.text = None;
        }
    }
}

impl Slot for Option<Value> {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        if raw == "null" {
            return Ok((None, Spelling::Null));
        }
        if let Some(text) = scan::string(raw) {
            if !text.starts_with(['{', '[']) {
                // An empty or ordinary text: it stands for nothing, or for itself.
                let value = (!text.is_empty()).then(|| Value::String(text.into_owned()));
                return Ok((value, Spelling::Exact));
            }
            let exact = scan::check(&text, said.values_max)?;
            let Ok(value) = serde_json::from_str::<Value>(&text) else {
                return Ok((Some(Value::String(text.into_owned())), Spelling::Exact));
            };
            if !said.is_of_edge() {
                said.repair("json_as_text", key, "JSON stands inside a text");
            }
            let again = value.to_string();
            let again = exact && again == *text;
            return Ok((Some(value), if again { Spelling::Coded } else { Spelling::Exact }));
        }
        let exact = scan::check(raw, said.values_max)?;
        if let Ok(value) = serde_json::from_str(raw) {
            return Ok((Some(value), if exact { Spelling::Plain } else { Spelling::Exact }));
        }
        said.repair("number_out_of_range", key, "a number is beyond every number; the text is kept");
        Ok((None, Spelling::Exact))
    }
    fn is_blank(&self) -> bool {
        self.is_none()
    }
    fn put(&self, style: Style, out: &mut Vec<u8>) {
        match self {
            // A text that holds no JSON stands for itself, in quotes once.
            Some(Value::String(text)) if style.coded => put_text(text, out),
            Some(value) if style.coded => put_text(&value.to_string(), out),
            value => put_json(value, out),
        }
    }
}

impl Slot for Vec<String> {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        if raw == "null" {
            return Ok((Self::new(), Spelling::Null));
        }
        scan::check(raw, said.values_max)?;
        if let Some(values) = scan::array(raw) {
            let texts: Self = values.iter().filter_map(|raw| scan::string(raw.get())).map(Into::into).collect();
            if texts.len() == values.len() {
                return Ok((texts, Spelling::Plain));
            }
            wrong(key, raw, said);
            return Ok((texts, Spelling::Exact));
        }
        let Some(text) = scan::string(raw) else {
            wrong(key, raw, said);
            return Ok((Self::new(), Spelling::Exact));
        };
        scan::check(&text, said.values_max)?;
        let texts = match serde_json::from_str::<Self>(&text) {
            Ok(texts) => texts,
            Err(_) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Into::into).collect(),
        };
        Ok((texts, Spelling::Exact))
    }
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
    fn put(&self, _style: Style, out: &mut Vec<u8>) {
        put_json(self, out);
    }
}

impl Slot for CommentId {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        if raw == "null" {
            return Ok((Self::None, Spelling::Null));
        }
        if let Some(text) = scan::string(raw) {
            return Ok((Self::Text(text.into_owned()), Spelling::Plain));
        }
        Ok(match whole(key, raw, said) {
            Some((number, true)) => (Self::Number(number), Spelling::Plain),
            Some((number, false)) => (Self::Number(number), Spelling::Exact),
            None => (Self::None, Spelling::Exact),
        })
    }
    fn is_blank(&self) -> bool {
        *self == Self::None
    }
    fn put(&self, _style: Style, out: &mut Vec<u8>) {
        match self {
            Self::None => out.extend_from_slice(b"null"),
            Self::Number(number) => put_json(number, out),
            Self::Text(text) => put_text(text, out),
        }
    }
}

/// Reads a list of objects; entries that are no good leave the text of the whole list as its form.
fn list<T: Fields>(
    key: &'static str,
    raw: &str,
    said: &mut Said,
    code: &'static str,
    is_good: fn(&T) -> bool,
) -> Result<(Vec<T>, Spelling), Fault> {
    if raw == "null" {
        return Ok((Vec::new(), Spelling::Null));
    }
    scan::check(raw, said.values_max)?;
    let Some(values) = scan::array(raw) else {
        wrong(key, raw, said);
        return Ok((Vec::new(), Spelling::Exact));
    };
    let mut read = Vec::with_capacity(values.len());
    for (entry, value) in values.iter().enumerate() {
        let Some(pairs) = scan::object(value.get()) else { continue };
        let one = said.within(key, entry, |said| record::read::<T>(pairs, said))?;
        if is_good(&one) {
            read.push(one);
        }
    }
    if read.len() == values.len() {
        return Ok((read, Spelling::Plain));
    }
    said.repair(
        code,
        key,
        format!("{} of {} entries are no good; the text is kept", values.len() - read.len(), values.len()),
    );
    Ok((read, Spelling::Exact))
}

fn put_list<T: Fields>(list: &[T], style: Style, out: &mut Vec<u8>) {
    out.push(b'[');
    for (position, one) in list.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        record::put(one, style, out);
    }
    out.push(b']');
}

impl Slot for Vec<Edge> {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        list(key, raw, said, "edge_malformed", |edge: &Edge| !edge.depends_on_id.is_empty())
    }
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
    fn put(&self, style: Style, out: &mut Vec<u8>) {
        put_list(self, Style { of_edge: true, ..style }, out);
    }
    fn forget_spelling(&mut self) {
        self.iter_mut().for_each(record::forget_spelling);
    }
}

impl Slot for Vec<Comment> {
    fn read(key: &'static str, raw: &str, said: &mut Said) -> Result<(Self, Spelling), Fault> {
        list(key, raw, said, "comment_malformed", |_| true)
    }
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
    fn put(&self, style: Style, out: &mut Vec<u8>) {
        put_list(self, style, out);
    }
    fn forget_spelling(&mut self) {
        self.iter_mut().for_each(record::forget_spelling);
    }
}
