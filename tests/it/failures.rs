//! The list of failures names tests that there are.

use std::fs;
use std::path::Path;

/// The texts of all sources below a folder.
fn sources(dir: &Path, found: &mut String) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_failure_is_shown_by_tests_that_there_are() {
    look("docs/failures.md", 30);
}

#[test]
fn every_attack_is_answered_by_tests_that_there_are() {
    look("docs/security.md", 15);
}

/// Looks at a list of at least so many lines.
fn look(list: &str, rows_min: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = String::new();
    for dir in ["gastown-core/src", "tests/it"] {
        sources(&root.join(dir), &mut all);
    }
    let list = fs::read_to_string(root.join(list)).unwrap();
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what")).collect();
    assert!(rows.len() >= rows_min, "the list is not read");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, _, shown_by] = cells[..] else { panic!("a row has three cells: {row}") };
        let tests: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test is named: {row}");
        for test in tests {
            // Some are declared by a macro, by name.
            let is_there = [format!("fn {test}("), format!("    {test} = \"")].iter().any(|said| all.contains(said));
            assert!(is_there, "there is no test {test}");
        }
    }
}
