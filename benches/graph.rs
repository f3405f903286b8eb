//! The work graph at size: `[--quick] [SIZE… | FILTER]`; see the library's module.

#![allow(missing_docs)]

use gastown_benches::{Options, graph};

pub fn main() -> Result<(), String> {
    run(&Options::from_args(std::env::args(), env!("CARGO_TARGET_TMPDIR"))?)
}

pub fn run(options: &Options) -> Result<(), String> {
    graph::run(options)
}
