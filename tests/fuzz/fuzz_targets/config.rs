//! See `tests/hostile`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proletariat_cli::options::hostile::config(data));
