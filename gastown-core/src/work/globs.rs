//! Patterns of paths, and whether two of them can mean the same path.
//!
//! | piece | means |
//! |---|---|
//! | `?` | one character of a name |
//! | `*` | any part of a name, also none |
//! | `**` | any number of folders, where it is a whole part of a path; at the end whatever is below |
//! | `[a-z]` `[!a-z]` | one character of a name, of these or of all others |
//! | `{a,b}` | one of these |
//! | `\*` | the character itself |
//! | a `/` at the end | whatever is below |
//!
//! A path is one or more names parted by `/`; a name is not empty. Whether two patterns overlap is decided, not tried:
//! both are automata, and a path of both is a way through their product.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;

use crate::model::id::excerpt;
use crate::model::{Error, Result};

/// The longest pattern in bytes.
pub(crate) const PATTERN_BYTES_MAX: usize = 200;
/// The deepest braces.
const DEPTH_MAX: usize = 8;

/// Characters, as ordered ranges that do not touch.
type Set = Vec<(u32, u32)>;

const SLASH: u32 = '/' as u32;
const LAST: u32 = char::MAX as u32;

fn name_set() -> Set {
    vec![(0, SLASH - 1), (SLASH + 1, LAST)]
}

fn any_set() -> Set {
    vec![(0, LAST)]
}

/// A state: where it goes without a character, and where with one of a set.
#[derive(Clone, Debug, Default)]
struct State {
    free: Vec<usize>,
    by: Vec<(Set, usize)>,
}

/// A pattern of paths.
#[derive(Clone)]
pub(crate) struct Glob {
    text: String,
    states: Vec<State>,
    end: usize,
    /// What every path of it begins with.
    beginning: String,
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Glob").field(&self.text).finish()
    }
}

fn malformed(text: &str, at: usize, problem: &str) -> Error {
    Error::invalid("pattern_malformed", format!("the pattern {} {problem}", excerpt(text)))
        .with("position", at)
        .with("problem", problem)
}

impl Glob {
    /// Reads a pattern; a leading `./` or `/` is left out.
    pub(crate) fn new(text: &str) -> Result<Self> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(malformed(text, PATTERN_BYTES_MAX, "is too long").with("bytes_max", PATTERN_BYTES_MAX));
        }
        let path = text.strip_prefix("./").unwrap_or(text);
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.is_empty() {
            return Err(malformed(text, 0, "is empty"));
        }
        if path.split('/').any(|name| matches!(name, "." | "..")) {
            return Err(malformed(text, 0, "holds the name . or .."));
        }
        if path.contains("//") || path.contains('\0') {
            return Err(malformed(text, 0, "holds an empty name or a NUL"));
        }
        let whole = if path.ends_with('/') { format!("{path}**") } else { path.to_owned() };
        let mut reader =
            PatternReader { text, chars: whole.chars().collect(), next: 0, states: vec![State::default()] };
        let end = reader.sequence(0, 0, true)?;
        if reader.next < reader.chars.len() {
            return Err(malformed(text, reader.next, "has a closing brace of nothing"));
        }
        let states = reader.states;
        let is_plain = |c: &char| !matches!(c, '*' | '?' | '[' | '{' | '\\' | '}' | ',');
        Ok(Self { text: text.to_owned(), states, end, beginning: whole.chars().take_while(is_plain).collect() })
    }

    /// The pattern as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the path is one of the pattern's.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn fits(&self, path: &str) -> bool {
        let literal =
            Self { text: path.to_owned(), states: literal(path), end: path.chars().count(), beginning: String::new() };
        !path.is_empty() && self.common(&literal, &mut usize::MAX.clone()).is_ok_and(|path| path.is_some())
    }

    /// A path that both patterns mean, where there is one; `steps` is what it may cost, and what is left.
    ///
    /// # Errors
    /// `patterns_too_complex` ([`Exhausted`](crate::ErrorKind::Exhausted)) where it would cost more.
    pub(crate) fn common(&self, other: &Self, steps: &mut usize) -> Result<Option<String>> {
        let (a, b) = (&self.beginning, &other.beginning);
        if a.chars().zip(b.chars()).any(|(a, b)| a != b) {
            return Ok(None);
        }
        // A place in both, and whether a name has begun.
        let start = (0, 0, false);
        let mut came = Came::new();
        came.insert(start, None);
        let mut open = VecDeque::from([start]);
        while let Some(at @ (mine, theirs, in_name)) = open.pop_front() {
            if mine == self.end && theirs == other.end && in_name {
                return Ok(Some(way(&came, at)));
            }
            let mut next = Vec::new();
            next.extend(self.states[mine].free.iter().map(|to| ((*to, theirs, in_name), None)));
            next.extend(other.states[theirs].free.iter().map(|to| ((mine, *to, in_name), None)));
            for (my_set, my_to) in &self.states[mine].by {
                for (their_set, their_to) in &other.states[theirs].by {
                    let (slash, letter) = shared(my_set, their_set);
                    // A slash ends a name, so there must be one.
                    if slash && in_name {
                        next.push(((*my_to, *their_to, false), Some('/')));
                    }
                    if let Some(letter) = letter {
                        next.push(((*my_to, *their_to, true), Some(letter)));
                    }
                }
            }
            *steps = steps.checked_sub(1 + next.len()).ok_or_else(too_complex)?;
            for (to, with) in next {
                if let Entry::Vacant(place) = came.entry(to) {
                    place.insert(Some((at, with)));
                    open.push_back(to);
                }
            }
        }
        Ok(None)
    }
}

fn too_complex() -> Error {
    Error::exhausted("patterns_too_complex", "so many patterns like these cannot be held against each other")
}

type Came = HashMap<(usize, usize, bool), Option<((usize, usize, bool), Option<char>)>>;

/// The characters on the way to a place.
fn way(came: &Came, mut at: (usize, usize, bool)) -> String {
    let mut path: Vec<char> = Vec::new();
    while let Some(Some((from, with))) = came.get(&at) {
        path.extend(with);
        at = *from;
    }
    path.into_iter().rev().collect()
}

/// Whether both sets have the slash, and another character of both: one that is easy to read, where there is one.
fn shared(a: &Set, b: &Set) -> (bool, Option<char>) {
    let (mut slash, mut letter) = (false, None);
    let (mut i, mut j) = (0, 0);
    while let (Some((a_first, a_last)), Some((b_first, b_last))) = (a.get(i), b.get(j)) {
        let (first, last) = (*a_first.max(b_first), *a_last.min(b_last));
        if first <= last {
            slash |= (first..=last).contains(&SLASH);
            let within = |c: u32| (first..=last).contains(&c) && c != SLASH;
            let easy = [u32::from(b'a'), u32::from(b'x'), first, last].into_iter().filter(|c| within(*c));
            for c in easy.chain((first..=last).filter(|c| within(*c)).take(1)) {
                if letter.is_none_or(|letter: char| !letter.is_ascii_alphanumeric()) {
                    letter = char::from_u32(c).filter(|c| *c != '\0').or(letter);
                }
            }
            // Only surrogates, which are no characters, and NUL, which is in no path, leave none.
        }
        if a_last < b_last {
            i += 1;
        } else {
            j += 1;
        }
    }
    (slash, letter)
}

/// The automaton of one text.
#[cfg(any(test, feature = "testkit"))]
fn literal(text: &str) -> Vec<State> {
    let mut states: Vec<State> = text
        .chars()
        .enumerate()
        .map(|(n, c)| State { free: vec![], by: vec![(vec![(c as u32, c as u32)], n + 1)] })
        .collect();
    states.push(State::default());
    states
}

struct PatternReader<'t> {
    text: &'t str,
    chars: Vec<char>,
    next: usize,
    states: Vec<State>,
}

impl PatternReader<'_> {
    fn wrong<T>(&self, problem: &str) -> Result<T> {
        Err(malformed(self.text, self.next, problem))
    }

    fn state(&mut self) -> usize {
        self.states.push(State::default());
        self.states.len() - 1
    }

    fn step(&mut self, from: usize, set: Set) -> usize {
        let to = self.state();
        self.states[from].by.push((set, to));
        to
    }

    /// A state that is reached from `from` by any number of characters of a set.
    fn any_number(&mut self, from: usize, set: Set) -> usize {
        let to = self.state();
        self.states[from].free.push(to);
        self.states[to].by.push((set, to));
        to
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.next + ahead).copied()
    }

    /// Reads until the end, or until what ends an alternative; answers the last state.
    fn sequence(&mut self, mut at: usize, depth: usize, mut begins_name: bool) -> Result<usize> {
        while let Some(c) = self.peek(0) {
            if depth > 0 && matches!(c, ',' | '}') {
                break;
            }
            if depth == 0 && c == '}' {
                return Ok(at);
            }
            let was_begin = std::mem::replace(&mut begins_name, c == '/');
            self.next += 1;
            at = match c {
                '?' => self.step(at, name_set()),
                '*' if self.peek(0) == Some('*') => {
                    while self.peek(0) == Some('*') {
                        self.next += 1;
                    }
                    let ends = self.peek(0).is_none_or(|c| depth > 0 && matches!(c, ',' | '}'));
                    if was_begin && ends {
                        self.any_number(at, any_set())
                    } else if was_begin && self.peek(0) == Some('/') {
                        // Any number of names, each with its slash.
                        self.next += 1;
                        begins_name = true;
                        let folders = self.state();
                        self.states[at].free.push(folders);
                        let name = self.any_number(folders, name_set());
                        self.states[name].by.push((vec![(SLASH, SLASH)], folders));
                        let behind = self.state();
                        self.states[folders].free.push(behind);
                        behind
                    } else {
                        self.any_number(at, name_set())
                    }
                }
                '*' => self.any_number(at, name_set()),
                '[' => {
                    let set = self.class()?;
                    self.step(at, set)
                }
                '{' => self.alternatives(at, depth + 1, was_begin)?,
                '\\' => match self.peek(0) {
                    Some(c) => {
                        self.next += 1;
                        self.step(at, vec![(c as u32, c as u32)])
                    }
                    None => return self.wrong("ends with a backslash"),
                },
                c => self.step(at, vec![(c as u32, c as u32)]),
            };
        }
        Ok(at)
    }

    fn alternatives(&mut self, from: usize, depth: usize, begins_name: bool) -> Result<usize> {
        if depth > DEPTH_MAX {
            return self.wrong("has braces too deep");
        }
        let behind = self.state();
        loop {
            let begin = self.state();
            self.states[from].free.push(begin);
            let end = self.sequence(begin, depth, begins_name)?;
            self.states[end].free.push(behind);
            match self.peek(0) {
                Some(',') => self.next += 1,
                Some(_) => {
                    self.next += 1;
                    return Ok(behind);
                }
                None => return self.wrong("lacks a closing brace"),
            }
        }
    }

    /// One of these characters, never a slash.
    fn class(&mut self) -> Result<Set> {
        let is_negated = matches!(self.peek(0), Some('!' | '^'));
        self.next += usize::from(is_negated);
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        let mut is_first = true;
        loop {
            let first = match self.peek(0) {
                None => return self.wrong("lacks a closing bracket"),
                // In front it is a character like others.
                Some(']') if !is_first => {
                    self.next += 1;
                    break;
                }
                Some('\\') => {
                    self.next += 1;
                    self.peek(0)
                }
                c => c,
            };
            let Some(first) = first else { return self.wrong("lacks a closing bracket") };
            is_first = false;
            self.next += 1;
            let mut last = first;
            if self.peek(0) == Some('-') && self.peek(1).is_some_and(|c| c != ']') {
                self.next += 1;
                if self.peek(0) == Some('\\') {
                    self.next += 1;
                }
                match self.peek(0) {
                    Some(c) => last = c,
                    None => return self.wrong("lacks a closing bracket"),
                }
                self.next += 1;
            }
            if last < first {
                return self.wrong("has a range that is the wrong way round");
            }
            ranges.push((first as u32, last as u32));
        }
        ranges.push((SLASH, SLASH));
        let others = complement(ranges.clone());
        if is_negated {
            return Ok(others);
        }
        // Those that are named, without the slash.
        ranges.pop();
        Ok(complement(complement(ranges).into_iter().chain([(SLASH, SLASH)]).collect()))
    }
}

/// All characters but these.
fn complement(mut ranges: Vec<(u32, u32)>) -> Set {
    ranges.sort_unstable();
    let (mut next, mut set) = (0, Vec::new());
    for (first, last) in ranges {
        if first > next {
            set.push((next, first - 1));
        }
        next = next.max(last + 1);
    }
    if next <= LAST {
        set.push((next, LAST));
    }
    set
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn common(a: &str, b: &str) -> Option<String> {
        glob(a).common(&glob(b), &mut usize::MAX.clone()).unwrap()
    }

    #[test]
    fn a_pattern_fits_the_paths_it_says() {
        for (pattern, fits, not) in [
            ("src/*.rs", &["src/a.rs", "src/.rs"][..], &["src/a/b.rs", "src/a.rsx", "a.rs"][..]),
            ("src/**", &["src/a", "src/a/b"], &["src", "srcs/a"]),
            ("src/", &["src/a", "src/a/b"], &["src"]),
            ("**/a", &["a", "x/a", "x/y/a"], &["xa", "x/ya", "a/x"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]),
            ("**", &["a", "a/b"], &[]),
            ("a**b", &["ab", "axb"], &["a/b"]),
            ("?", &["a", "é"], &["ab", "/"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x"]),
            ("[!a-c/]x", &["dx"], &["ax", "/x"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("{a,b/c}/d", &["a/d", "b/c/d"], &["b/d"]),
            ("{a/**,b}", &["a/x/y", "b"], &["a"]),
            ("{,x}a", &["a", "xa"], &["xxa"]),
            ("\\*\\{", &["*{"], &["a{"]),
            ("./a", &["a"], &[]),
            ("/a", &["a"], &[]),
            ("a,b", &["a,b"], &["a"]),
        ] {
            for path in fits {
                assert!(glob(pattern).fits(path), "{pattern} {path}");
            }
            for path in not {
                assert!(!glob(pattern).fits(path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn two_patterns_overlap_where_a_path_fits_both() {
        for (a, b) in [
            ("src/*.rs", "src/main.*"),
            ("src/**", "**/*.rs"),
            ("a*b*c", "*abc"),
            ("[a-m]*", "[m-z]*"),
            ("{a,b}/x", "b/?"),
            ("docs/", "docs/guide.md"),
            ("**", "x"),
            ("a/**/z", "a/b/*/z"),
        ] {
            let path = common(a, b).unwrap_or_else(|| panic!("{a} and {b}"));
            assert!(glob(a).fits(&path) && glob(b).fits(&path), "{path}");
        }
        for (a, b) in [
            ("src/*.rs", "src/*/x.rs"),
            ("[a-l]*", "[m-z]*"),
            ("a*", "b*"),
            ("*.rs", "*.py"),
            ("a/?", "a/??"),
            ("docs/", "docs"),
            ("{a,b}", "{c,d}"),
            ("a/*/b", "a/b"),
            ("a/{,}/b", "a/**"),
        ] {
            assert_eq!(common(a, b), None, "{a} and {b}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "/",
            "./",
            "a//b",
            "../a",
            "a/./b",
            "[a",
            "[z-a]",
            "{a",
            "a}",
            "a\\",
            "a\0",
            "[!",
            "{{{{{{{{{a}}}}}}}}}",
        ] {
            assert_eq!(Glob::new(text).unwrap_err().code(), "pattern_malformed", "{text:?}");
        }
        assert_eq!(Glob::new(&"a".repeat(201)).unwrap_err().code(), "pattern_malformed");
    }

    #[test]
    fn what_costs_too_much_is_refused() {
        let hard = glob(&"*a".repeat(90));
        assert_eq!(hard.common(&hard, &mut 1_000).unwrap_err().code(), "patterns_too_complex");
        let mut steps = 1_000_000;
        assert!(hard.common(&hard, &mut steps).unwrap().is_some());
        assert!(steps > 0, "the hardest pair is within what one question may cost");
    }

    /// Whether a text fits, by trying everything; knows `*`, `**`, `?`, `[ab]` and letters.
    fn tries(pattern: &[char], text: &[char], begins: bool) -> bool {
        let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
        match first {
            '*' if rest.first() == Some(&'*') => {
                let rest = &rest[1..];
                let is_whole = begins && (rest.is_empty() || rest[0] == '/');
                if is_whole && rest.is_empty() {
                    return true;
                }
                if is_whole {
                    let starts = (0..=text.len()).filter(|n| *n == 0 || text[n - 1] == '/');
                    return starts.into_iter().any(|n| tries(&rest[1..], &text[n..], true));
                }
                tries_star(rest, text)
            }
            '*' => tries_star(rest, text),
            '?' => text.first().is_some_and(|c| *c != '/') && tries(rest, &text[1..], false),
            '[' => {
                let end = rest.iter().position(|c| *c == ']').unwrap();
                text.first().is_some_and(|c| rest[..end].contains(c)) && tries(&rest[end + 1..], &text[1..], false)
            }
            c => text.first() == Some(c) && tries(rest, &text[1..], *c == '/'),
        }
    }

    fn tries_star(rest: &[char], text: &[char]) -> bool {
        let run = text.iter().take_while(|c| **c != '/').count();
        (0..=run).any(|n| tries(rest, &text[n..], false))
    }

    /// Every path of these letters up to a length.
    fn paths(length: usize) -> Vec<Vec<char>> {
        let mut all: Vec<Vec<char>> = vec![vec![]];
        let mut last = all.clone();
        for _ in 0..length {
            last = last
                .iter()
                .flat_map(|path| ['a', 'b', '/'].map(|c| path.iter().copied().chain([c]).collect()))
                .collect();
            all.extend(last.clone());
        }
        all.retain(|path| path.split(|c| *c == '/').all(|name| !name.is_empty()));
        all
    }

    fn patterns() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec!["a", "b", "*", "?", "[ab]", "[b]", "/", "/**/", "/**", "ab"]);
        prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat()).prop_filter("a pattern", |text| {
            !text.contains("//") && !text.starts_with('/') && !text.ends_with('/') && !text.contains("***")
        })
    }

    proptest! {
        #[test]
        fn fitting_and_overlapping_are_what_trying_everything_finds(a in patterns(), b in patterns()) {
            let (one, other) = (glob(&a), glob(&b));
            let [a_chars, b_chars]: [Vec<char>; 2] = [a.chars().collect(), b.chars().collect()];
            let mut is_common = false;
            for path in paths(6) {
                let text: String = path.iter().collect();
                let (fits_a, fits_b) = (tries(&a_chars, &path, true), tries(&b_chars, &path, true));
                prop_assert_eq!(one.fits(&text), fits_a, "{} {}", a, text);
                is_common |= fits_a && fits_b;
            }
            match one.common(&other, &mut usize::MAX.clone()).unwrap() {
                Some(path) => {
                    let chars: Vec<char> = path.chars().collect();
                    prop_assert!(tries(&a_chars, &chars, true) && tries(&b_chars, &chars, true), "{} {} {}", a, b, path);
                }
                None => prop_assert!(!is_common, "{} {}", a, b),
            }
            prop_assert_eq!(
                one.common(&other, &mut usize::MAX.clone()).unwrap().is_some(),
                other.common(&one, &mut usize::MAX.clone()).unwrap().is_some()
            );
        }

        #[test]
        fn any_text_is_a_pattern_or_a_refusal(text in any::<String>(), near in r"([a-b]|\*|\?|\[|\]|\{|\}|,|/|!|-|\\){0,20}") {
            for text in [text, near] {
                if let Ok(glob) = Glob::new(&text) {
                    let _ = glob.common(&glob, &mut 100_000);
                }
            }
        }
    }
}
