//! Compiles the shim with the C compiler that SQLite needs as well.

#![allow(clippy::disallowed_methods, reason = "cargo tells a build script by variables")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=disk.c");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o"])
        .arg(Path::new(&folder).join("disk.so"))
        .args(["disk.c", "-ldl", "-lpthread"])
        .status()
        .unwrap_or_else(|error| panic!("{compiler} cannot be run: {error}"));
    assert!(status.success(), "{compiler} does not compile disk.c");
}
