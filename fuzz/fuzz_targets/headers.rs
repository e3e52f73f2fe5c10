//! Runs `marketpipe::fuzzing::headers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::headers(bytes));
