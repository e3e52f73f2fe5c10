//! Runs `marketpipe::fuzzing::symbol`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::symbol(bytes));
