#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gastown_core::fuzz::run("frames", bytes));
