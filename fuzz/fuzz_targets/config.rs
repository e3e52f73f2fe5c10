//! Runs `marketpipe::fuzzing::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::config(bytes));
