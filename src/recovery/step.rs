//! The steps, in words and in order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One step. Each can be done again from wherever it was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The new data directory is built and proven, while everything still runs.
    Build,
    /// The manifests are moved out of the kubelet's sight.
    Park,
    /// The processes end.
    Stop,
    /// The old data is moved aside.
    SetAside,
    /// The new data takes its place.
    SwapIn,
    /// The old data takes its place again; what is there is moved aside.
    TakeBack,
    /// The manifest of etcd returns.
    StartEtcd,
    /// etcd answers.
    AwaitEtcd,
    /// The other manifests return, and their processes run.
    StartControlPlane,
    /// What was built and never used is removed.
    Discard,
}

/// In which direction the steps lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// To the restored data.
    Forward,
    /// Back to the data from before.
    Back,
}

impl Step {
    /// The way to the restored data.
    pub const FORWARD: [Step; 8] = [
        Step::Build,
        Step::Park,
        Step::Stop,
        Step::SetAside,
        Step::SwapIn,
        Step::StartEtcd,
        Step::AwaitEtcd,
        Step::StartControlPlane,
    ];

    /// The way back, once these steps of the way forward were begun. What still runs as it did is
    /// left alone.
    #[must_use]
    pub fn back_from(begun: &[Step]) -> Vec<Step> {
        let mut steps = Vec::new();
        if begun.contains(&Step::SetAside) {
            steps.extend([Step::Park, Step::Stop, Step::TakeBack]);
        }
        if begun.contains(&Step::Park) {
            // the control plane first: it is to be as it was, whether the old etcd answers or not
            steps.extend([Step::StartEtcd, Step::StartControlPlane, Step::AwaitEtcd]);
        }
        steps.push(Step::Discard);
        steps
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Build => "build the new data beside the old",
            Step::Park => "move the manifests out of the kubelet's sight",
            Step::Stop => "wait until etcd and the control plane have stopped",
            Step::SetAside => "set the old data aside",
            Step::SwapIn => "put the new data in place",
            Step::TakeBack => "put the old data back in place",
            Step::StartEtcd => "give etcd's manifest back to the kubelet",
            Step::AwaitEtcd => "wait until etcd answers",
            Step::StartControlPlane => "bring the control plane back",
            Step::Discard => "remove what was built and never used",
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Forward => "restore",
            Way::Back => "rollback",
        })
    }
}
