//! The inputs that the fuzzers have kept (`tests/fuzz/corpus`) still obey every law of their
//! subject, so that a run of the tests covers what the fuzzers have reached.

#[path = "fuzz/subjects.rs"]
mod subjects;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

/// Runs a subject on each kept input; how many there are, and how many of them it accepts.
fn replay(target: &str, subject: fn(&[u8]) -> bool) -> (usize, usize) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let inputs: Vec<_> = fs::read_dir(corpus.join(target))
        .unwrap()
        .map(|input| fs::read(input.unwrap().path()).unwrap())
        .collect();
    let accepted = inputs.iter().filter(|input| subject(input)).count();
    (inputs.len(), accepted)
}

#[test]
fn kept_snapshot_files_obey_the_laws() {
    let (all, accepted) = replay("snapshot_file", subjects::snapshot_file);
    assert!(
        accepted > 0 && accepted < all,
        "{accepted} of {all} accepted"
    );
}

#[test]
fn kept_page_mutations_obey_the_laws() {
    let (all, accepted) = replay("page_mutations", subjects::page_mutations);
    assert!(
        accepted > 0 && accepted < all,
        "{accepted} of {all} accepted"
    );
}

#[test]
fn kept_page_mutations_can_be_restored_where_they_are_sound() {
    let (all, restored) = replay("page_mutations", subjects::restore);
    assert!(
        restored > 0 && restored < all,
        "{restored} of {all} restored"
    );
}

#[test]
fn kept_manifests_obey_the_laws() {
    let (all, accepted) = replay("manifest", subjects::manifest);
    assert!(
        accepted > 0 && accepted < all,
        "{accepted} of {all} accepted"
    );
}

#[test]
fn kept_pod_manifests_obey_the_laws() {
    let (all, accepted) = replay("pod_manifest", subjects::pod_manifest);
    assert!(
        accepted > 0 && accepted < all,
        "{accepted} of {all} accepted"
    );
}

#[test]
fn the_snapshots_of_real_etcds_are_accepted_whole_and_refused_cut() {
    for (number, snapshot) in (0u8..).zip(subjects::GOLDEN) {
        assert!(subjects::snapshot_file(snapshot));
        assert!(subjects::page_mutations(&[number]), "unpatched");
        for cut in [0, 1, 4096, snapshot.len() / 2, snapshot.len() - 33] {
            assert!(
                !subjects::snapshot_file(&snapshot[..cut]),
                "cut to {cut} bytes"
            );
        }
    }
}

proptest! {
    #[test]
    fn a_few_patches_at_random_obey_the_laws_too(input in prop::collection::vec(any::<u8>(), 0..60)) {
        subjects::page_mutations(&input);
        subjects::restore(&input);
    }
}
