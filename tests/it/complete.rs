//! No test file is forgotten.

use std::fs;
use std::path::Path;

#[test]
fn every_file_beside_main_is_a_module_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let main = fs::read_to_string(folder.join("main.rs")).expect("main.rs is beside this file");
    let declared: Vec<&str> =
        main.lines().filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';')).collect();
    let forgotten: Vec<String> = fs::read_dir(&folder)
        .expect("this file is in it")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "main" && !declared.contains(&name.as_str()))
        .collect();
    assert!(forgotten.is_empty(), "not declared in main.rs: {forgotten:?}");
}
