//! Finds what a Rust file names of its own crate, by its text: comments and literals do not count.

use std::collections::BTreeMap;

/// Something of the crate that a file names.
#[derive(Debug, PartialEq)]
pub(crate) enum Import {
    /// `crate::name`, or a `super` chain that ends there.
    Module(String),
    /// `crate::*` or `crate as other`: it cannot be said what is used.
    Everything,
}

/// What the file of `module` names of its crate: every path that begins with `crate` or `super`.
pub(crate) fn imports(text: &str, module: &[String]) -> Vec<Import> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // The inline modules around the token: their names, and the depth of braces at which each ends.
    let mut around: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2] == "mod" {
                    around.push((tokens[at - 1].clone(), depth));
                }
            }
            "}" => {
                if around.last().is_some_and(|(_, end)| *end == depth) {
                    around.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "crate" | "super" => {
                let here: Vec<String> =
                    module.iter().cloned().chain(around.iter().map(|(name, _)| name.clone())).collect();
                at = walk(&tokens, at, &here, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The names that `lib.rs` gives to what modules hold: name → module.
pub(crate) fn reexports(text: &str) -> BTreeMap<String, String> {
    let tokens = tokens(text);
    let mut names = BTreeMap::new();
    for at in 0..tokens.len() {
        if tokens[at] == "use" {
            let start = if tokens[at + 1] == "crate" { at + 3 } else { at + 1 };
            let end = start + tokens[start..].iter().position(|token| token == ";").unwrap_or(0);
            for leaf in start + 1..end {
                let last = matches!(tokens[leaf + 1].as_str(), ";" | "," | "}");
                if last && is_word(&tokens[leaf]) {
                    names.insert(tokens[leaf].clone(), tokens[start].clone());
                }
            }
        }
    }
    names
}

/// The macros that a file gives to the whole crate: `#[macro_export]` puts them at its root.
pub(crate) fn exported_macros(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        if tokens[at] == "macro_export" {
            let rules = tokens[at..].iter().position(|token| token == "macro_rules");
            names.extend(rules.and_then(|rules| tokens.get(at + rules + 2).cloned()));
        }
    }
    names
}

/// Follows one path or use tree from the module `here`; returns the index after it.
fn walk(tokens: &[String], mut at: usize, here: &[String], found: &mut Vec<Import>) -> usize {
    let mut place = here.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("crate") => place.clear(),
            Some("super") => {
                place.pop();
            }
            Some("self") => {}
            Some("{") => return group(tokens, at + 1, &place, found),
            Some("*") if place.is_empty() => {
                found.push(Import::Everything);
                return at + 1;
            }
            Some(name) if is_word(name) => {
                if let Some(first) = place.first().map_or(Some(name), |_| None) {
                    found.push(Import::Module(first.to_owned()));
                }
                place.push(name.to_owned());
            }
            _ => return at,
        }
        at += 1;
        match tokens.get(at).map(String::as_str) {
            Some("::") => at += 1,
            Some("as") => {
                if place.is_empty() {
                    found.push(Import::Everything);
                }
                return at + 2;
            }
            _ => return at,
        }
    }
}

fn group(tokens: &[String], mut at: usize, place: &[String], found: &mut Vec<Import>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            "," => at += 1,
            _ => at = walk(tokens, at, place, found).max(at + 1),
        }
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::` and single signs; no comments, no strings, no characters, no lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match chars[at] {
            '/' if next == '/' => at = line_end(&chars, at),
            '/' if next == '*' => at = comment_end(&chars, at),
            '"' => at = string_end(&chars, at),
            '\'' => at = quote_end(&chars, at),
            first if first.is_alphabetic() || first == '_' => {
                let end = (at..chars.len()).find(|i| !(chars[*i].is_alphanumeric() || chars[*i] == '_'));
                let end = end.unwrap_or(chars.len());
                let word: String = chars[at..end].iter().collect();
                at = end;
                match (word.as_str(), chars.get(end)) {
                    ("r" | "br" | "cr", Some('"' | '#')) => at = raw_end(&chars, end),
                    _ => tokens.push(word),
                }
            }
            ':' if next == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            sign => {
                if !sign.is_whitespace() {
                    tokens.push(sign.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// After a character literal, or after the quote of a lifetime.
fn quote_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => (from + 3..chars.len()).find(|at| chars[*at] == '\'').map_or(chars.len(), |at| at + 1),
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

/// After a raw string, whose hashes begin at `from`; a raw identifier (`r#type`) ends at its hash.
fn raw_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from..].iter().take_while(|sign| **sign == '#').count();
    if chars.get(from + hashes) != Some(&'"') {
        return from + hashes;
    }
    let mut at = from + hashes + 1;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|sign| **sign == '#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}
