//! Runs `marketpipe::fuzzing::csv`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| marketpipe::fuzzing::csv(bytes));
