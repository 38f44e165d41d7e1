#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};
use tessera_contract::JobId;

use super::*;

fn setting(config: Value) -> Setting {
    let mut whole = json!({"image": "tessera:1"});
    whole.as_object_mut().unwrap().append(&mut config.as_object().unwrap().clone());
    let config: KubernetesConfig = serde_json::from_value(whole).unwrap();
    assert_eq!(config.problem(), None);
    let installation = InstallationId("01hzyabcdefghjkmnpqrstvwxy".into());
    Setting { name: "cluster".into(), config, installation, namespace: "tasks".into() }
}

fn job(plan: Value) -> Job {
    let mut whole = json!({"version": 1, "job": "", "executors": [{"image": "busybox:1", "command": ["true"]}]});
    whole.as_object_mut().unwrap().append(&mut plan.as_object().unwrap().clone());
    Job {
        id: JobId::of_attempt("01k0abcdefghjkmnpqrstvwxyz", 1),
        owner: "Ada Lovelace <ada@example.org>".into(),
        plan: serde_json::from_value(whole).unwrap(),
        preemptible: false,
        zones: Vec::new(),
        parameters: BTreeMap::new(),
    }
}

fn made(config: Value, job: &Job) -> Value {
    serde_json::to_value(manifest(&setting(config), job).unwrap()).unwrap()
}

#[track_caller]
fn refused(config: Value, job: &Job, words: &[&str]) {
    let Err(BackendError::Rejected(reason)) = manifest(&setting(config), job) else { panic!("not rejected") };
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
}

fn container<'a>(manifest: &'a Value, name: &str) -> &'a Value {
    let pod = &manifest["spec"]["template"]["spec"];
    let all = [&pod["initContainers"], &pod["containers"]].map(|list| list.as_array().unwrap());
    all.into_iter().flatten().find(|container| container["name"] == name).unwrap()
}

fn three() -> Value {
    let of = |image: &str| json!({"image": image, "command": ["true"]});
    json!([of("a:1"), of("b:latest"), of("c@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")])
}

#[test]
fn a_job_runs_once_and_begins_suspended_and_undecided() {
    let made = made(json!({"labels": {"team": "a"}, "annotations": {"a.b/c": "d e"}}), &job(json!({})));
    let spec = &made["spec"];
    assert_eq!(made["apiVersion"], "batch/v1");
    assert_eq!((&spec["backoffLimit"], &spec["suspend"]), (&json!(0), &json!(true)));
    assert_eq!((&spec["completions"], &spec["parallelism"]), (&json!(1), &json!(1)));
    assert_eq!(spec["ttlSecondsAfterFinished"], 604_800);
    assert_eq!(made["metadata"]["annotations"]["tessera.verdict"], Verdict::Open.text());
    for metadata in [&made["metadata"], &spec["template"]["metadata"]] {
        assert_eq!(metadata["labels"]["tessera.installation"], "01hzyabcdefghjkmnpqrstvwxy");
        assert_eq!(metadata["labels"]["tessera.job"], "01k0abcdefghjkmnpqrstvwxyz-1");
        assert_eq!(
            (&metadata["labels"]["tessera.backend"], &metadata["labels"]["team"]),
            (&json!("cluster"), &json!("a"))
        );
        assert_eq!(metadata["annotations"]["tessera.owner"], "Ada Lovelace <ada@example.org>");
        assert_eq!(metadata["annotations"]["a.b/c"], "d e");
    }
    let pod = &spec["template"]["spec"];
    assert_eq!((&pod["restartPolicy"], &pod["terminationGracePeriodSeconds"]), (&json!("Never"), &json!(4)));
    assert_eq!((&pod["automountServiceAccountToken"], &pod["enableServiceLinks"]), (&json!(false), &json!(false)));
}

#[test]
fn stage_in_comes_first_and_stage_out_before_the_executors() {
    let made = made(json!({}), &job(json!({"executors": three()})));
    let names = |list: &Value| {
        let names = list.as_array().unwrap().iter().map(|container| container["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    let pod = &made["spec"]["template"]["spec"];
    assert_eq!(names(&pod["initContainers"]), "stage-in");
    assert_eq!(names(&pod["containers"]), "stage-out executor-0 executor-1 executor-2");
    assert_eq!(container(&made, "stage-in")["command"], json!(["/tessera-runtime", "stage-in"]));
    assert_eq!(container(&made, "stage-out")["command"], json!(["/tessera-runtime", "stage-out"]));
    for (index, image) in ["a:1", "b:latest"].into_iter().enumerate() {
        let executor = container(&made, &format!("executor-{index}"));
        assert_eq!(executor["command"], json!(["/.tessera/runtime", "exec"]));
        assert_eq!((&executor["image"], &executor["imagePullPolicy"]), (&json!(image), &json!("IfNotPresent")));
        assert!(executor.get("args").is_none() && executor.get("env").is_none(), "{executor}");
    }
}

/// TES contract 12: what a user writes is never a word of the manifest, so nothing can expand or show it.
#[test]
fn nothing_of_a_command_or_its_environment_stands_in_it() {
    let hostile = "$$ $(PATH) $(X) `id` {{ .x }} \u{1f9ec} SECRET\n---\n";
    let made = made(
        json!({}),
        &job(json!({
            "executors": [{"image": "a:1", "command": ["sh", "-c", hostile], "env": {"SECRET_NAME": hostile},
                           "workdir": "/SECRET-workdir/x", "stdin": "/SECRET-in"}],
            "inputs": [{"path": "/in/x", "source": {"content": hostile}},
                       {"path": "/in/y", "source": {"url": "s3://SECRET/key"}}],
            "outputs": [{"path": "/out/x", "url": "s3://SECRET/out"}],
        })),
    );
    let text = made.to_string();
    let shown = text.replace("SECRET-workdir", "");
    assert!(!shown.contains("SECRET") && !shown.contains("$(") && !shown.contains("`id`"), "{text}");
}

#[test]
fn an_executor_sees_the_tree_and_its_own_step_and_nothing_of_ours() {
    let inputs: Vec<Value> = (0..500)
        .map(|n| json!({"path": format!("/etc/in-{n}/data $(X) ü:{n}"), "source": {"url": "s3://b/k"}, "kind": "file"}))
        .collect();
    let made = made(json!({}), &job(json!({"executors": three(), "inputs": inputs, "volumes": ["/vol"]})));
    let mounts = container(&made, "executor-1")["volumeMounts"].as_array().unwrap().clone();
    let at = |path: &str| mounts.iter().find(|mount| mount["mountPath"] == path).unwrap().clone();
    assert_eq!(at("/.tessera/runtime")["subPath"], "bin/runtime");
    assert_eq!(at("/.tessera/runtime")["readOnly"], true);
    assert_eq!(at("/.tessera/step")["subPath"], "steps/1");
    assert_eq!(at("/.tessera/tree")["subPath"], "tree");
    assert_eq!(at("/vol")["subPath"], "tree/vol");
    assert_eq!(at("/tmp")["subPath"], "tree/tmp");
    assert_eq!(at("/etc/in-499/data $(X) ü:499")["subPath"], "tree/etc/in-499/data $(X) ü:499");
    assert!(mounts.iter().all(|mount| mount["name"] == "work"), "{mounts:?}");
    let mut paths: Vec<&str> = mounts.iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!((paths.len(), mounts.len()), (505, 505), "no path twice");
}

#[test]
fn our_containers_see_the_attempt_and_what_the_operator_gave_them() {
    let made = made(
        json!({
            "identity": {"audience": "sts"}, "identity_secrets": [{"name": "gcs", "path": "/var/run/gcs"}],
            "mounts": [{"path": "/data", "claim": "c"}, {"path": "/ref", "host_path": "/srv", "read_only": true}],
            "ours": {"env": {"GOOGLE": "$(X)$"}},
        }),
        &job(json!({})),
    );
    let paths = |name: &str| {
        let mounts = container(&made, name)["volumeMounts"].as_array().unwrap().iter();
        mounts.map(|mount| mount["mountPath"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let both = [
        "/.tessera/attempt",
        "/.tessera/attempt/tree",
        "/.tessera/attempt/steps",
        "/.tessera/plan",
        "/.tessera/identity",
        "/var/run/gcs",
        "/data",
        "/ref",
    ];
    assert_eq!(paths("stage-out"), both);
    assert_eq!(paths("stage-in")[..both.len()], both);
    assert_eq!(paths("stage-in")[both.len()..], ["/.tessera/bin"]);
    let mounts = &container(&made, "stage-in")["volumeMounts"];
    let read_only = |index: usize| mounts[index]["readOnly"] == true;
    assert_eq!([3, 4, 5, 6, 7].map(read_only), [true, true, true, false, true]);
    let job = json!({"name": "TESSERA_JOB", "value": "01k0abcdefghjkmnpqrstvwxyz-1"});
    assert_eq!(container(&made, "stage-in")["env"], json!([job, {"name": "GOOGLE", "value": "$$(X)$$"}]));
    let volumes = &made["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[2]["secret"]["secretName"], made["metadata"]["name"]);
    let token = &volumes[3]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token, &json!({"audience": "sts", "expirationSeconds": 3600, "path": "token"}));
    assert_eq!(volumes[5]["persistentVolumeClaim"]["claimName"], "c");
    assert_eq!(volumes[6]["hostPath"]["path"], "/srv");
}

/// TES contract 13.2: what is asked for is a limit, and the Pod asks for it once.
#[test]
fn rule_13_2_the_first_executor_asks_for_what_each_may_use() {
    let limits = json!({"cpu_milli": 1500, "ram_bytes": 1 << 30, "disk_bytes": 10_u64 << 30});
    let made = made(json!({}), &job(json!({"executors": three(), "limits": limits})));
    let resources = |name: &str| container(&made, name)["resources"].clone();
    let most = json!({"cpu": "1500m", "memory": "1073741824", "ephemeral-storage": (11_u64 << 30).to_string()});
    let wanted = json!({"cpu": "1500m", "memory": "1073741824", "ephemeral-storage": (10_u64 << 30).to_string()});
    let zero = json!({"cpu": "0", "memory": "0", "ephemeral-storage": "0"});
    assert_eq!(resources("executor-0"), json!({"requests": wanted, "limits": most}));
    assert_eq!(resources("executor-1"), json!({"requests": zero, "limits": most}));
    assert_eq!(resources("executor-2"), json!({"requests": zero, "limits": most}));
    let ours = json!({"requests": {"cpu": "100m", "memory": "134217728"}, "limits": {"memory": "1073741824"}});
    assert_eq!(resources("stage-in"), ours);
    // Room in the Pod for inputs that lie there twice.
    let storage = |amount: u64| json!({"ephemeral-storage": amount.to_string()});
    let mut room = ours;
    room["requests"].as_object_mut().unwrap().extend(storage(0).as_object().unwrap().clone());
    room["limits"].as_object_mut().unwrap().extend(storage(11 << 30).as_object().unwrap().clone());
    assert_eq!(resources("stage-out"), room);
    let work = &made["spec"]["template"]["spec"]["volumes"][0]["emptyDir"]["sizeLimit"];
    assert_eq!(work, &json!((11_u64 << 30).to_string()));
}

#[test]
fn amounts_that_are_none_or_beyond_everything() {
    let silent = made(json!({}), &job(json!({})));
    assert_eq!(container(&silent, "executor-0")["resources"], json!({}));
    let limits = json!({"cpu_milli": 0, "ram_bytes": 1, "disk_bytes": u64::MAX});
    let made = made(json!({}), &job(json!({"limits": limits})));
    let largest = i64::MAX.to_string();
    assert_eq!(
        container(&made, "executor-0")["resources"]["limits"],
        json!({"memory": "16777216", "ephemeral-storage": largest})
    );
}

#[test]
fn devices_are_asked_for_by_each_executor() {
    let config =
        json!({"extended_resources": ["example.com/FPGA"], "gpu_types": {"a100": {"gpu.example/kind": "A100"}}});
    assert_eq!(
        parameters(&setting(config.clone()).config),
        ["container_user", "gpu_count", "walltime", "gpu_type", "example.com/fpga"]
    );
    let mut asks = job(json!({"executors": three(), "limits": {"gpu_count": 2}}));
    asks.parameters = BTreeMap::from([("example.com/fpga".into(), " 1 ".into()), (GPU_TYPE.into(), "A100".into())]);
    let made = made(config.clone(), &asks);
    for name in ["executor-0", "executor-1", "executor-2"] {
        let resources = &container(&made, name)["resources"];
        for what in ["requests", "limits"] {
            assert_eq!(resources[what]["nvidia.com/gpu"], "2", "{name}");
            assert_eq!(resources[what]["example.com/FPGA"], "1", "{name}");
        }
    }
    assert_eq!(made["spec"]["template"]["spec"]["nodeSelector"], json!({"gpu.example/kind": "A100"}));
    asks.plan.limits.gpu_count = None;
    let one = self::made(config.clone(), &asks);
    assert_eq!(container(&one, "executor-0")["resources"]["limits"]["nvidia.com/gpu"], "1", "a kind is of one");
    asks.parameters.insert(GPU_TYPE.into(), "h100".into());
    refused(config.clone(), &asks, &["`h100`", "`a100`"]);
    asks.parameters = BTreeMap::from([("example.com/fpga".into(), "some".into())]);
    refused(config, &asks, &["`example.com/FPGA`", "some"]);
}

#[test]
fn where_it_may_run() {
    let config = json!({
        "node_selector": {"pool": "tasks"}, "tolerations": [{"key": "tasks"}], "priority_class": "low",
        "preemptible": {"node_selector": {"pool": "spot"}, "tolerations": [{"key": "spot", "value": "yes"}],
                        "priority_class": "lowest"},
        "runtime_class": "gvisor", "service_account": "jobs", "image_pull_secrets": ["r"], "fs_group": 7,
    });
    let mut asks = job(json!({}));
    let pod = |asks: &Job| made(config.clone(), asks)["spec"]["template"]["spec"].clone();
    let usual = pod(&asks);
    assert_eq!((&usual["nodeSelector"], &usual["priorityClassName"]), (&json!({"pool": "tasks"}), &json!("low")));
    assert_eq!(usual["tolerations"], json!([{"key": "tasks", "operator": "Exists"}]));
    assert_eq!((&usual["runtimeClassName"], &usual["serviceAccountName"]), (&json!("gvisor"), &json!("jobs")));
    assert_eq!(
        (&usual["imagePullSecrets"], &usual["securityContext"]),
        (&json!([{"name": "r"}]), &json!({"fsGroup": 7}))
    );
    assert!(usual.get("affinity").is_none());
    asks.preemptible = true;
    asks.zones = vec!["eu-1a".into(), "eu-1b".into()];
    let spot = pod(&asks);
    assert_eq!((&spot["nodeSelector"], &spot["priorityClassName"]), (&json!({"pool": "spot"}), &json!("lowest")));
    assert_eq!(spot["tolerations"][1], json!({"key": "spot", "operator": "Equal", "value": "yes"}));
    let terms =
        &spot["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let zones = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["eu-1a", "eu-1b"]});
    assert_eq!(terms, &json!([{"matchExpressions": [zones]}]));
    asks.zones = vec!["no zone".into()];
    refused(config.clone(), &asks, &["no zone"]);
    assert!(made(json!({"zone_label": ""}), &asks)["spec"]["template"]["spec"].get("affinity").is_none());
}

#[test]
fn a_queue_is_a_label_of_the_job_alone() {
    let made = made(json!({"kueue_queue": "tasks"}), &job(json!({})));
    assert_eq!(made["metadata"]["labels"][QUEUE], "tasks");
    assert_eq!(made["spec"]["suspend"], true);
    assert!(made["spec"]["template"]["metadata"]["labels"].get(QUEUE).is_none());
}

#[test]
fn as_whom_they_run() {
    let usual = made(json!({}), &job(json!({})));
    let ours = &container(&usual, "stage-out")["securityContext"];
    assert_eq!(
        ours,
        &json!({"runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"]},
            "seccompProfile": {"type": "RuntimeDefault"}})
    );
    let task = &container(&usual, "executor-0")["securityContext"];
    assert_eq!(
        task,
        &json!({"readOnlyRootFilesystem": false, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP"]},
            "seccompProfile": {"type": "RuntimeDefault"}})
    );
    let config = json!({"tasks": {"security": {"run_as_user": 7, "run_as_group": 8, "run_as_non_root": true,
        "seccomp": "Localhost:a/b.json"}}, "ours": {"security": {"seccomp": ""}}});
    for (user, uid, gid) in [(None, 7, 8), (Some("1000"), 1000, 8), (Some("1000:5"), 1000, 5)] {
        let made = made(config.clone(), &job(json!({"limits": {"container_user": user}})));
        let task = &container(&made, "executor-0")["securityContext"];
        assert_eq!((&task["runAsUser"], &task["runAsGroup"]), (&json!(uid), &json!(gid)), "{user:?}");
        assert_eq!(task["seccompProfile"], json!({"type": "Localhost", "localhostProfile": "a/b.json"}));
        assert!(container(&made, "stage-in")["securityContext"].get("seccompProfile").is_none());
    }
    for user in ["ada", "1000:", ":5", "-1", "4294967295", "1000:ada", "1 "] {
        refused(json!({}), &job(json!({"limits": {"container_user": user}})), &["container_user", "1000:1000"]);
    }
    refused(config, &job(json!({"limits": {"container_user": "0:0"}})), &["root"]);
}

#[test]
fn what_can_never_run_here_is_refused_with_the_reason() {
    refused(json!({}), &job(json!({"executors": []})), &["nothing to run"]);
    refused(json!({}), &job(json!({"limits": {"network": "host"}})), &["`host`", "`cluster`"]);
    refused(json!({}), &job(json!({"limits": {"network": "none"}})), &["`none`"]);
    refused(json!({}), &job(json!({"volumes": ["/.tessera/x"]})), &["/.tessera/x"]);
    refused(json!({}), &job(json!({"executors": [{"image": " a", "command": ["x"]}]})), &["executor 0", "\" a\""]);
}

#[test]
fn a_plan_keeps_what_the_log_of_a_container_holds() {
    let storage = json!({"file_roots": ["/s"], "file_bind_rw": ["/s"], "cache": {"dir": "/c", "max_bytes": 1}});
    let asks = job(json!({"policy": {"log_cap_bytes": 1_u64 << 30, "stop_grace_ms": 1}, "storage": storage}));
    let plan = super::plan(&setting(json!({"stop_grace_ms": 9_001})), &asks).unwrap();
    assert_eq!((plan.policy.log_cap_bytes, plan.policy.stop_grace_ms), (4 << 20, 9_001));
    assert_eq!((plan.job.as_str(), plan.storage.cache, plan.storage.file_bind_rw.len()), (asks.id.as_str(), None, 0));
    let asks = job(json!({"policy": {"log_cap_bytes": 5}}));
    assert_eq!(super::plan(&setting(json!({})), &asks).unwrap().policy.log_cap_bytes, 5);
    let grace = made(json!({"stop_grace_ms": 9_001}), &asks);
    assert_eq!(grace["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 12);
}

#[test]
fn more_executors_than_a_pod_tells_of_are_refused() {
    let executors = |count: usize| json!({"executors": vec![json!({"image": "a:1", "command": ["true"]}); count]});
    assert!(manifest(&setting(json!({})), &job(executors(30))).is_ok());
    refused(json!({}), &job(executors(31)), &["31 executors", "takes 30", "make several tasks"]);
}
