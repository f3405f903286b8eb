//! Every operation of the core's table has its method, its types and its tests in Python and in Node.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use gastown_core::{Operation, operations};

#[test]
fn every_operation_has_its_two_bindings_and_their_tests() {
    let bindings = Bindings::read();
    let missing: Vec<String> = operations().iter().flat_map(|operation| bindings.missing(operation)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// One of the texts that the bindings consist of.
type Text = fn(&mut Bindings) -> &mut String;

#[test]
fn an_operation_without_a_binding_is_found() {
    let whole = Bindings::read();
    let create = operations().iter().find(|operation| operation.name == "beads.create").unwrap();
    assert_eq!(whole.missing(create), Vec::<String>::new());
    let planted: [(Text, &str, usize); 7] = [
        (|it| &mut it.python, "async def create(", 1),
        (|it| &mut it.python, "-> t.Bead:", 1),
        (|it| &mut it.python_types, "class Bead:", 1),
        (|it| &mut it.node, "create(bead", 1),
        (|it| &mut it.node, "interface NewBead ", 1),
        (|it| &mut it.python_tests, ".beads.create(", 1),
        (|it| &mut it.node_tests, ".beads.create(", 1),
    ];
    for (part, text, count) in planted {
        let mut broken = Bindings::read();
        let part = part(&mut broken);
        assert!(part.contains(text), "{text}");
        *part = part.replace(text, "gone");
        assert_eq!(broken.missing(create).len(), count, "without {text}");
    }
}

#[test]
fn the_table_of_operations_is_up_to_date() {
    let path = root().join("docs/operations.md");
    let table = table();
    #[allow(clippy::disallowed_methods, reason = "how `make fix` asks for the file to be written")]
    if std::env::var_os("GASTOWN_FIX").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == table, "{} does not list the operations as they are; run `make fix`", path.display());
}

/// The facades of the bindings and their tests, as text.
struct Bindings {
    python: String,
    python_types: String,
    python_tests: String,
    node: String,
    node_tests: String,
}

impl Bindings {
    fn read() -> Self {
        let file = |path: &str| fs::read_to_string(root().join(path)).unwrap();
        Self {
            python: file("gastown-py/python/gastown/_operations.py"),
            python_types: file("gastown-py/python/gastown/_types.py"),
            python_tests: folder("gastown-py/tests", "py"),
            node: file("gastown-node/index.d.ts"),
            node_tests: folder("gastown-node/test", "js"),
        }
    }

    fn missing(&self, operation: &Operation) -> Vec<String> {
        let (name, input, output) = (operation.name, operation.input, operation.output);
        let (group, method) = name.split_once('.').unwrap();
        let (class, camel) = (capitalised(group), camel(method));
        let python = section(&self.python, &format!("class {class}(Group):"), "\nclass ");
        let python = section(python, &format!("    async def {method}("), "\n\n");
        let node = section(&self.node, &format!("export interface {class} {{"), "\n}");
        let node = section(node, &format!("  {camel}("), "\n");
        let declares = |name: &str| {
            self.node.contains(&format!("export interface {name} "))
                || self.node.contains(&format!("export type {name} "))
        };
        let checks = [
            (!python.is_empty(), format!("Python has no {name} (gastown-py/python/gastown/_operations.py)")),
            (
                python.is_empty()
                    || (python.contains(&format!("-> t.{output}:"))
                        && python.contains(&format!("(t.{output}, \"{name}\""))),
                format!("Python's {name} does not answer {output}"),
            ),
            (self.python_types.contains(&format!("class {output}:")), format!("Python has no type {output}")),
            (self.python_tests.contains(&format!(".{name}(")), format!("no Python test calls {name}")),
            (!node.is_empty(), format!("Node has no {name} (gastown-node/index.d.ts)")),
            (
                node.is_empty() || (node.contains(&format!("Promise<{output}>")) && words(node).contains(input)),
                format!("Node's {name} does not take {input} and answer {output}"),
            ),
            (declares(input) && declares(output), format!("Node lacks the type {input} or {output}")),
            (self.node_tests.contains(&format!(".{group}.{camel}(")), format!("no Node test calls {name}")),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
    }
}

fn table() -> String {
    let mut text = String::from(
        "# Operations\n\nWhat a handle can do, in the three languages. Made from the core's table by `make fix`; a test \
         compares.\n\nA *change* is one transaction and takes an idempotency key; an *ask* reads one snapshot; *outside* \
         also looks at git or the engine. Operators may call all of them, agents those of their role.\n\n\
         | operation | | kind | Rust | Python | Node | agents |\n|---|---|---|---|---|---|---|\n",
    );
    for operation in operations() {
        let Operation { name, kind, input, output, roles, meaning, .. } = operation;
        let (group, method) = name.split_once('.').unwrap();
        let kind = format!("{kind:?}").to_lowercase();
        let roles = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
        let camel = camel(method);
        writeln!(
            text,
            "| `{name}` | {} | {kind} | `{group}().{method}({input}) -> {output}` | `await {group}.{method}(…) -> \
             {output}` | `{group}.{camel}({input}): Promise<{output}>` | {roles} |",
            meaning.trim(),
        )
        .unwrap();
    }
    text.push_str(
        "\n`events.watch` follows the journal: a `Watch` in Rust, an async iterator in Python and Node.\n\
                   `sessions.follow` follows a session's output in the same way: a `Follow` in Rust, made of an \
                   `OutputQuery`.\n",
    );
    text
}

/// From `start` to the next `end` behind it; empty where there is no `start`.
fn section<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let Some(at) = text.find(start) else { return "" };
    let rest = &text[at..];
    let stop = rest[start.len()..].find(end).map_or(rest.len(), |stop| start.len() + stop);
    &rest[..stop]
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric()).collect()
}

fn capitalised(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

fn camel(snake: &str) -> String {
    let mut parts = snake.split('_');
    parts.next().unwrap_or_default().to_owned() + &parts.map(capitalised).collect::<String>()
}

fn folder(path: &str, extension: &str) -> String {
    let files = fs::read_dir(root().join(path)).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|found| found == extension));
    files.map(|file| fs::read_to_string(file).unwrap()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
