//! See `tests/hostile`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proletariat::hostile::codec::codec(data));
