//! Runs `marketpipe::fuzzing::page`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::page(bytes));
