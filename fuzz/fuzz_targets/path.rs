//! Runs `marketpipe::fuzzing::path`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::path(bytes));
