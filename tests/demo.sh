#!/usr/bin/env bash
# The main job on real input: installs what it needs, starts a TLS etcd with a PKI as kubeadm makes it, fills it with
# Kubernetes-like keys, takes a backup, proves it, lists it, and says where it is. Arguments: see tests/demo.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/install.sh
HCE_ETCD_DIR=$(cd "${HCE_ETCD_DIR:-${CARGO_TARGET_DIR:-target}/etcd}" && pwd)
export HCE_ETCD_DIR HCE_REQUIRE=etcd
"${CARGO:-cargo}" build --locked --bin hypercloud-etcd --example demo
exec "${CARGO_TARGET_DIR:-target}/debug/examples/demo" "$@"
