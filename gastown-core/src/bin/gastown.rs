//! The `gastown` program.

fn main() {}
