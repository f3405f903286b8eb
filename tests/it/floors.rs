//! The library is built in floors, and a floor imports only from floors below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{Import, exported_macros, imports, reexports};

/// One floor: its modules, and what they may import besides the ground and themselves.
struct Floor {
    modules: &'static [&'static str],
    may: May,
}

enum May {
    /// Every floor below, and the modules beside it.
    BelowAndBeside,
    /// Every floor below; not the modules beside it.
    Below,
    /// Only the ground: it knows the outside world, not the town.
    Ground,
}

/// Ground first.
const FLOORS: &[Floor] = &[
    Floor { modules: &["model", "failpoint", "mutant", "meter", "random"], may: May::BelowAndBeside },
    Floor { modules: &["interchange"], may: May::Below },
    Floor { modules: &["store"], may: May::Below },
    Floor { modules: &["work"], may: May::Below },
    Floor { modules: &["engine"], may: May::Below },
    Floor { modules: &["git", "credential", "forge", "runtime", "auth", "socket"], may: May::Ground },
    Floor { modules: &["executor"], may: May::Below },
    Floor { modules: &["town"], may: May::Below },
    Floor { modules: &["fuzz"], may: May::Below },
    Floor { modules: &["bin"], may: May::Below },
];

#[test]
fn no_module_imports_from_a_floor_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gastown-core/src");
    let mut files = BTreeMap::new();
    read(&source, &source, &mut files);
    assert!(files.len() > 5, "the source of gastown-core was not found in {}", source.display());
    assert_eq!(violations(&files), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let planted = [
        ("model/bead.rs", "use crate::store::Txn;", "model imports store"),
        ("store/mod.rs", "use crate::{model::Bead, work::bead};", "store imports work"),
        ("store/sqlite/row.rs", "fn f() { super::super::super::engine::tick() }", "store imports engine"),
        ("work.rs", "use super::engine;", "work imports engine"),
        ("work/bead.rs", "mod tests { use super::super::super::town::Town; }", "work imports town"),
        ("work/bead.rs", "use super::{super::{model, executor}, mail};", "work imports executor"),
        ("git/mirror.rs", "use crate::store::Row;", "git imports store"),
        ("git/mirror.rs", "use crate :: /* why */ runtime::Spawn;", "git imports runtime"),
        ("engine/mod.rs", "let x = crate::Town::builder();", "engine imports town"),
        ("store/mod.rs", "use crate::*;", "store imports the whole crate"),
        ("store/mod.rs", "use crate as gastown;", "store imports the whole crate"),
        ("store/mod.rs", "pub(in crate::work) fn f() {}", "store imports work"),
        ("store/mod.rs", "fn f() { crate::given!(); }", "store imports work"),
    ];
    for (path, text, expected) in planted {
        let files = BTreeMap::from([
            (
                "lib.rs".to_owned(),
                "pub mod model;\npub use model::{Error, id::BeadId as Id};\npub use town::Town;".to_owned(),
            ),
            ("work/given.rs".to_owned(), "#[macro_export]\nmacro_rules! given { () => {}; }".to_owned()),
            (path.to_owned(), text.to_owned()),
        ]);
        let found = violations(&files);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {text}\nfound {found:?}");
    }
}

#[test]
fn a_downward_import_is_allowed_and_words_in_text_are_no_imports() {
    let harmless = [
        (
            "store/mod.rs",
            "use crate::model::{Bead, Error}; use crate::failpoint::pass; use crate::Error; use crate::Id;",
        ),
        ("store/sqlite/row.rs", "use super::super::memory; use super::{schema, super::mod_rs}; use self::inner::X;"),
        ("store/mod.rs", "// use crate::town::Town;\n/* crate::work /* nested crate::town */ crate::engine */"),
        ("store/mod.rs", "/// ```\n/// use crate::town::Town;\n/// ```\nfn f() {}"),
        ("store/mod.rs", r##"const A: &str = "crate::town"; const B: &str = r#"crate::work "quoted" crate::town"#;"##),
        ("store/mod.rs", r#"const Q: char = '"'; use crate::model::Id; const B: u8 = b'\''; fn f<'a>(x: &'a str) {}"#),
        (
            "store/mod.rs",
            "pub(crate) mod memory; pub(crate) fn f() {} pub(super) fn g() {} pub(in crate::store) fn h() {}",
        ),
        ("executor/start.rs", "use crate::{engine, git::Mirror, runtime::{Runtime, Spec}, store, work};"),
        ("model/id.rs", "macro_rules! id { () => { $crate::model::Error } }"),
        ("failpoint.rs", "use crate::model::Error;"),
    ];
    for (path, text) in harmless {
        let files = BTreeMap::from([
            ("lib.rs".to_owned(), "pub use model::{Error, id::BeadId as Id};".to_owned()),
            (path.to_owned(), text.to_owned()),
        ]);
        assert_eq!(violations(&files), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn a_module_without_a_floor_is_found() {
    let files = BTreeMap::from([("util/mod.rs".to_owned(), String::new()), ("extra.rs".to_owned(), String::new())]);
    assert_eq!(
        violations(&files),
        ["extra.rs: extra has no floor in tests/it/floors.rs", "util/mod.rs: util has no floor in tests/it/floors.rs"]
    );
}

fn violations(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut names = files.get("lib.rs").map(|text| reexports(text)).unwrap_or_default();
    for (path, text) in files {
        let module = module_of(path).first().cloned().unwrap_or_default();
        names.extend(exported_macros(text).into_iter().map(|name| (name, module.clone())));
    }
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| *path != "lib.rs") {
        let module = module_of(path);
        let Some(own) = module.first().and_then(|name| floor_of(name)) else {
            let name = module.first().map_or("the root", String::as_str);
            found.push(format!("{path}: {name} has no floor in tests/it/floors.rs"));
            continue;
        };
        // A program imports the library by its name; its `crate` is itself.
        if module[0] == "bin" {
            continue;
        }
        for import in imports(text, &module) {
            let target = match &import {
                Import::Module(name) => names.get(name).unwrap_or(name),
                Import::Everything => {
                    found.push(format!("{path}: {} imports the whole crate", module[0]));
                    continue;
                }
            };
            if !allowed(own, &module[0], target) {
                found.push(format!("{path}: {} imports {target}", module[0]));
            }
        }
    }
    found
}

fn allowed(own: usize, module: &str, target: &str) -> bool {
    if module == target {
        return true;
    }
    let Some(other) = floor_of(target) else { return false };
    match FLOORS[own].may {
        May::BelowAndBeside => other <= own,
        May::Below => other < own,
        May::Ground => other == 0,
    }
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.modules.contains(&module))
}

/// `store/sqlite/mod.rs` is the module `store::sqlite`.
fn module_of(path: &str) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    stem.split('/').filter(|part| *part != "mod").map(str::to_owned).collect()
}

fn read(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the source is readable") {
        let path: PathBuf = entry.expect("the source is readable").path();
        if path.is_dir() {
            read(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("it is below the root").to_string_lossy().replace('\\', "/");
            files.insert(name, fs::read_to_string(&path).expect("Rust source is UTF-8"));
        }
    }
}
