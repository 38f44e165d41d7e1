#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;

fn with(mut settings: Value) -> KubernetesConfig {
    settings.as_object_mut().unwrap().entry("image").or_insert("tessera:1".into());
    serde_json::from_value(settings).unwrap()
}

#[test]
fn an_image_is_all_it_needs() {
    assert_eq!(with(json!({})).problem(), None);
    assert_eq!(KubernetesConfig::default().problem().map(|(key, _)| key).as_deref(), Some("image"));
}

#[test]
fn a_key_that_does_not_exist_is_named() {
    for text in [r#"{"name_space": "x"}"#, r#"{"ours": {"name_space": 1}}"#, r#"{"tolerations": [{"name_space": 1}]}"#]
    {
        let error = serde_json::from_str::<KubernetesConfig>(text).unwrap_err();
        assert!(error.to_string().contains("name_space"), "{error}");
    }
}

#[test]
fn a_value_that_cannot_be_is_named() {
    let table = [
        (json!({"image": ""}), "image"),
        (json!({"image": "a b"}), "image"),
        (json!({"namespace": "Tasks"}), "namespace"),
        (json!({"namespace": "a.b"}), "namespace"),
        (json!({"image_pull_secrets": ["ok", "not_ok"]}), "image_pull_secrets[1]"),
        (json!({"service_account": "-a"}), "service_account"),
        (json!({"server_url": "tessera:8000/x y"}), "server_url"),
        (json!({"server_url": "http://u:p@host"}), "server_url"),
        (json!({"jobs": 0}), "jobs"),
        (json!({"cpu_cores": 0}), "cpu_cores"),
        (json!({"ram_gb": -1}), "ram_gb"),
        (json!({"log_cap_mb": 0}), "log_cap_mb"),
        (json!({"calls_per_second": 0}), "calls_per_second"),
        (json!({"finished_ttl_s": 4_000_000_000_u32}), "finished_ttl_s"),
        (json!({"work_prefix": "/data"}), "work_prefix"),
        (json!({"gpu_resource": "gpu"}), "gpu_resource"),
        (json!({"gpu_types": {"a100": {}}}), "gpu_types.a100"),
        (json!({"gpu_types": {"A": {"x": "y"}, "a": {"x": "z"}}}), "gpu_types.a"),
        (json!({"gpu_types": {"a100": {"x y": "z"}}}), "gpu_types.a100.x y"),
        (json!({"extended_resources": ["cpu"]}), "extended_resources[0]"),
        (json!({"extended_resources": ["x.kubernetes.io/a"]}), "extended_resources[0]"),
        (json!({"extended_resources": ["a.b/c", "A.b/c"]}), "extended_resources[1]"),
        (json!({"extended_resources": ["a.b/c", "a.b/C"]}), "extended_resources[1]"),
        (json!({"kueue_queue": ""}), "kueue_queue"),
        (json!({"labels": {"tessera.job": "x"}}), "labels.tessera.job"),
        (json!({"labels": {"team": "a b"}}), "labels.team"),
        (json!({"annotations": {"a/b/c": "x"}}), "annotations.a/b/c"),
        (json!({"node_selector": {"": "x"}}), "node_selector."),
        (json!({"tolerations": [{"operator": "Equal", "value": "x"}]}), "tolerations[0].operator"),
        (json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}), "tolerations[0].value"),
        (json!({"tolerations": [{"effect": "Never"}]}), "tolerations[0].effect"),
        (json!({"tolerations": [{"seconds": 3}]}), "tolerations[0].seconds"),
        (json!({"preemptible": {"priority_class": "A"}}), "preemptible.priority_class"),
        (json!({"zone_label": "a b"}), "zone_label"),
        (json!({"fs_group": -1}), "fs_group"),
        (json!({"mounts": [{"path": "data", "claim": "c"}]}), "mounts[0].path"),
        (json!({"mounts": [{"path": "/a/../b", "claim": "c"}]}), "mounts[0].path"),
        (json!({"mounts": [{"path": "/a:b", "claim": "c"}]}), "mounts[0].path"),
        (json!({"mounts": [{"path": "/", "claim": "c"}]}), "mounts[0].path"),
        (json!({"mounts": [{"path": "/.tessera/x", "claim": "c"}]}), "mounts[0].path"),
        (json!({"mounts": [{"path": "/a"}]}), "mounts[0]"),
        (json!({"mounts": [{"path": "/a", "claim": "c", "host_path": "/a"}]}), "mounts[0]"),
        (json!({"mounts": [{"path": "/a", "host_path": "a"}]}), "mounts[0].host_path"),
        (json!({"mounts": [{"path": "/a", "claim": "c"}, {"path": "/a", "claim": "d"}]}), "mounts[1].path"),
        (json!({"ours": {"cpu_cores": 2, "cpu_cores_most": 1}}), "ours.cpu_cores"),
        (json!({"ours": {"ram_gb": 2}}), "ours.ram_gb"),
        (json!({"ours": {"env": {"a=b": "x"}}}), "ours.env.a=b"),
        (json!({"ours": {"security": {"run_as_non_root": true}}}), "ours.security.run_as_non_root"),
        (json!({"tasks": {"security": {"run_as_user": -1}}}), "tasks.security.run_as_user"),
        (json!({"tasks": {"security": {"drop_capabilities": ["CAP_X"]}}}), "tasks.security.drop_capabilities[0]"),
        (json!({"tasks": {"security": {"seccomp": "none"}}}), "tasks.security.seccomp"),
        (json!({"identity": {"audience": ""}}), "identity.audience"),
        (json!({"identity": {"audience": "a", "expiration_s": 60}}), "identity.expiration_s"),
        (json!({"identity_secrets": [{"name": "A", "path": "/a"}]}), "identity_secrets[0].name"),
        (json!({"identity_secrets": [{"name": "a", "path": "a"}]}), "identity_secrets[0].path"),
    ];
    for (settings, key) in table {
        let found = with(settings.clone()).problem();
        assert_eq!(found.as_ref().map(|(key, _)| key.as_str()), Some(key), "{settings}: {found:?}");
    }
}

#[test]
fn every_key_can_be_set() {
    let whole = with(json!({
        "kubeconfig": "/etc/k", "context": "c", "namespace": "tasks", "image_pull_policy": "Never",
        "image_pull_secrets": ["a.b"], "service_account": "jobs", "server_url": "https://tessera:8000/at",
        "jobs": 9, "cpu_cores": 0.5, "ram_gb": 2, "stop_grace_ms": 1, "log_cap_mb": 1, "work_prefix": "s3://b/t",
        "gpu_types": {"a100": {"nvidia.com/gpu.product": "A100"}}, "extended_resources": ["example.com/fpga"],
        "kueue_queue": "q", "runtime_class": "gvisor", "priority_class": "low", "labels": {"team": "a"},
        "annotations": {"a.b/c": "any thing"}, "node_selector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "a", "value": "b", "effect": "NoExecute", "seconds": 3}, {}],
        "preemptible": {"node_selector": {"spot": "true"}, "tolerations": [{"key": "spot"}], "priority_class": "p"},
        "zone_label": "", "fs_group": 7,
        "mounts": [{"path": "/data", "claim": "c"}, {"path": "/ref", "host_path": "/srv", "read_only": true}],
        "ours": {"cpu_cores_most": 1, "env": {"A": "b"}, "security": {"run_as_user": 7, "run_as_non_root": true}},
        "tasks": {"security": {"seccomp": "Localhost:a.json", "add_capabilities": [], "drop_capabilities": ["ALL"]}},
        "identity": {"audience": "sts"}, "identity_secrets": [{"name": "gcs", "path": "/var/run/gcs"}],
    }));
    assert_eq!(whole.problem(), None);
    assert!(whole.honours_preemptible() && !whole.honours_zones());
    assert_eq!((whole.log_cap_bytes(), whole.identity.unwrap().expiration_s), (1 << 20, 3_600));
}

#[test]
fn ours_are_root_unless_somebody_else_is_named() {
    let ours = Security::default().of_ours();
    assert_eq!((ours.run_as_user, ours.run_as_group, ours.read_only_root), (Some(0), Some(0), Some(true)));
    let somebody = Security { run_as_user: Some(7), add_capabilities: Some(Vec::new()), ..Security::default() };
    let somebody = somebody.of_ours();
    assert_eq!((somebody.run_as_user, somebody.run_as_group), (Some(7), None));
    assert_eq!(somebody.add_capabilities, Some(Vec::new()));
}
