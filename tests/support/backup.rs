//! What the tests of backups ask of a manifest and of a backup directory.

use std::path::PathBuf;

use serde_json::Value;

use super::command::Host;

impl Host {
    /// One backup, which ends well; its manifest.
    #[track_caller]
    pub(crate) fn backup(&self) -> Value {
        self.run(&["backup", "--json"]).expect_success().json()
    }

    /// The snapshot that a manifest is about.
    pub(crate) fn snapshot_of(&self, manifest: &Value) -> PathBuf {
        self.backups.join(text(manifest, "file"))
    }
}

/// A field of a JSON object that is a text.
#[track_caller]
pub(crate) fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no text in {object:#}"))
}

/// What came of a proof: `passed`, `failed` or `skipped`.
#[track_caller]
pub(crate) fn outcome<'v>(manifest: &'v Value, proof: &str) -> &'v str {
    text(step(manifest, proof), "result")
}

/// What a proof found.
#[track_caller]
pub(crate) fn detail<'v>(manifest: &'v Value, proof: &str) -> &'v str {
    text(step(manifest, proof), "detail")
}

#[track_caller]
fn step<'v>(manifest: &'v Value, proof: &str) -> &'v Value {
    let steps = manifest["verification"].as_array();
    steps
        .and_then(|steps| steps.iter().find(|step| step["step"] == proof))
        .unwrap_or_else(|| panic!("there is no proof {proof} in {manifest:#}"))
}

/// Asserts that all three proofs hold and no member contradicts.
#[track_caller]
pub(crate) fn assert_proven(manifest: &Value) {
    assert_eq!(manifest["verified"], true, "{manifest:#}");
    for proof in ["trailer", "structure", "live"] {
        assert_eq!(outcome(manifest, proof), "passed", "{manifest:#}");
    }
    assert_eq!(
        manifest["contradictingMembers"],
        serde_json::json!([]),
        "{manifest:#}"
    );
}
