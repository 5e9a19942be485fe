//! A file of any bytes, read as a snapshot.

#![no_main]

#[path = "../subjects.rs"]
#[allow(dead_code, reason = "each target runs one of the subjects")]
mod subjects;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    subjects::snapshot_file(input);
});
