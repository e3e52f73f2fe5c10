//! Runs `marketpipe::fuzzing::timestamp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::timestamp(bytes));
