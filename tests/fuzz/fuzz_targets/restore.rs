//! A sound snapshot of a real etcd, patched by the input, and restored where it is still sound.

#![no_main]

#[path = "../subjects.rs"]
#[allow(dead_code, reason = "each target runs one of the subjects")]
mod subjects;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    subjects::restore(input);
});
