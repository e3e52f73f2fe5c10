//! Runs `marketpipe::fuzzing::body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::body(bytes));
