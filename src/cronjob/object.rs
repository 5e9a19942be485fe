//! The few objects of Kubernetes that are rendered, in the order in which people read them.

use serde::Serialize;
use serde_saphyr::{Commented, DoubleQuoted, LitString};

/// A value and, behind it in the text, why it is so.
pub(super) type Because<T> = Commented<T>;

/// A value with its reason, which stands in one line and is ours: never put a given text there.
pub(super) fn because<T>(value: T, reason: &'static str) -> Because<T> {
    Commented(value, reason.to_owned())
}

/// `v1`, `ConfigMap`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigMap {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) metadata: Metadata,
    pub(super) data: ConfigFile,
}

#[derive(Debug, Serialize)]
pub(super) struct ConfigFile {
    #[serde(rename = "config.toml")]
    pub(super) config: Lines,
}

/// A text of lines.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Lines {
    /// As they are.
    Literal(LitString),
    /// In one line, with everything escaped.
    Quoted(DoubleQuoted<String>),
}

impl Lines {
    /// The lines as they are, unless their own indentation would be taken for that of the YAML: then
    /// some parsers stop at a tab, and others count its spaces.
    pub(super) fn of(text: &str) -> Self {
        let text = text.to_owned();
        if text.trim_start_matches('\n').starts_with([' ', '\t']) {
            Self::Quoted(DoubleQuoted(text))
        } else {
            Self::Literal(LitString(text))
        }
    }
}

/// `batch/v1`, `CronJob`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CronJob {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) metadata: Metadata,
    pub(super) spec: CronJobSpec,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    pub(super) labels: Labels,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Labels {
    #[serde(rename = "app.kubernetes.io/name")]
    pub(super) name: &'static str,
    #[serde(rename = "app.kubernetes.io/instance")]
    pub(super) instance: String,
    #[serde(rename = "app.kubernetes.io/component")]
    pub(super) component: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CronJobSpec {
    /// Quoted always: `*` begins an alias, and `@` may begin nothing.
    pub(super) schedule: DoubleQuoted<String>,
    pub(super) time_zone: String,
    pub(super) suspend: bool,
    pub(super) concurrency_policy: Because<&'static str>,
    pub(super) starting_deadline_seconds: Because<u32>,
    pub(super) successful_jobs_history_limit: u32,
    pub(super) failed_jobs_history_limit: u32,
    pub(super) job_template: JobTemplate,
}

#[derive(Debug, Serialize)]
pub(super) struct JobTemplate {
    pub(super) metadata: Metadata,
    pub(super) spec: JobSpec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobSpec {
    pub(super) backoff_limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod_failure_policy: Option<PodFailurePolicy>,
    pub(super) active_deadline_seconds: Because<u32>,
    pub(super) template: PodTemplate,
}

#[derive(Debug, Serialize)]
pub(super) struct PodFailurePolicy {
    pub(super) rules: Vec<PodFailureRule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodFailureRule {
    pub(super) action: Because<&'static str>,
    pub(super) on_exit_codes: ExitCodes,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExitCodes {
    pub(super) container_name: &'static str,
    pub(super) operator: &'static str,
    /// Rising, and each once.
    pub(super) values: Vec<u8>,
}

#[derive(Debug, Serialize)]
pub(super) struct PodTemplate {
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node_name: Option<Because<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) affinity: Option<Affinity>,
    pub(super) tolerations: Vec<Toleration>,
    pub(super) priority_class_name: &'static str,
    pub(super) host_network: Because<bool>,
    pub(super) dns_policy: &'static str,
    pub(super) restart_policy: Because<&'static str>,
    pub(super) automount_service_account_token: bool,
    pub(super) enable_service_links: bool,
    pub(super) security_context: PodSecurity,
    pub(super) containers: Vec<Container>,
    pub(super) volumes: Vec<Volume>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Affinity {
    pub(super) node_affinity: NodeAffinity,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeAffinity {
    pub(super) required_during_scheduling_ignored_during_execution: NodeSelector,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeSelector {
    pub(super) node_selector_terms: Vec<NodeSelectorTerm>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeSelectorTerm {
    pub(super) match_fields: Vec<Requirement>,
}

#[derive(Debug, Serialize)]
pub(super) struct Requirement {
    pub(super) key: Because<&'static str>,
    pub(super) operator: &'static str,
    pub(super) values: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Toleration {
    pub(super) key: Because<&'static str>,
    pub(super) operator: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effect: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSecurity {
    pub(super) run_as_user: Because<u32>,
    pub(super) run_as_group: u32,
    pub(super) seccomp_profile: Kind,
}

#[derive(Debug, Serialize)]
pub(super) struct Kind {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: &'static str,
    pub(super) image: String,
    pub(super) image_pull_policy: &'static str,
    pub(super) command: Vec<&'static str>,
    pub(super) args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) env: Vec<Variable>,
    pub(super) resources: Resources,
    pub(super) security_context: ContainerSecurity,
    pub(super) termination_message_policy: Because<&'static str>,
    pub(super) volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Variable {
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_from: Option<VariableSource>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VariableSource {
    pub(super) field_ref: FieldReference,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldReference {
    pub(super) field_path: Because<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Resources {
    pub(super) requests: Amounts,
    pub(super) limits: Amounts,
}

#[derive(Debug, Serialize)]
pub(super) struct Amounts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<&'static str>,
    pub(super) memory: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerSecurity {
    pub(super) allow_privilege_escalation: bool,
    pub(super) read_only_root_filesystem: bool,
    pub(super) capabilities: Capabilities,
}

#[derive(Debug, Serialize)]
pub(super) struct Capabilities {
    pub(super) drop: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub(super) name: String,
    pub(super) mount_path: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) read_only: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) source: VolumeSource,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum VolumeSource {
    #[serde(rename_all = "camelCase")]
    HostPath {
        path: String,
        #[serde(rename = "type")]
        kind: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    PersistentVolumeClaim {
        claim_name: String,
    },
    ConfigMap {
        name: String,
    },
}
