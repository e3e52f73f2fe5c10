//! Runs `marketpipe::fuzzing::number`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::number(bytes));
