//! Any bytes, read as the manifest of a static pod.

#![no_main]

#[path = "../subjects.rs"]
#[allow(dead_code, reason = "each target runs one of the subjects")]
mod subjects;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    subjects::pod_manifest(input);
});
