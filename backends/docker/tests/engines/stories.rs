//! What only this backend does.

#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tessera_contract::{Backend, BackendError, Handle, Observation, Severity};
use tessera_runtime::node::attempt::{self, Keep};
use tessera_runtime::node::container;
use tessera_runtime::plan::Network;
use tessera_runtime::report::{FaultClass, Outcome};

use crate::ground::{Ground, docker, fault, job, job_of, notes, shell, unique};
use crate::proxy::Proxy;

async fn started(ground: &Ground, backend: &tessera_docker::Docker, handle: &Handle) {
    let seen = |seen| matches!(seen, Observation::Working(progress) if progress.started.is_some()).then_some(());
    ground.until(backend, handle, seen).await;
}

#[tokio::test]
async fn rule_15_7_a_report_says_what_ran_where() {
    let ground = docker!();
    let backend = ground.open().await;
    let handle = backend.submit(&job(&["echo hello; echo oops >&2", "exit 0"])).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.steps[0].stdout_tail, "hello\n");
    assert_eq!(report.steps[0].stderr_tail, "oops\n");
    assert_eq!(report.metadata["backend"], "docker");
    assert_eq!(report.metadata["container_ids"].split(',').count(), 2);
    assert!(report.metadata["image_digests"].contains("sha256:"), "{:?}", report.metadata);
    assert!(report.metadata["peak_memory_bytes"].parse::<u64>().unwrap() > 0);
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn rule_12_7_a_container_that_is_ended_from_outside_is_lost() {
    let ground = docker!();
    let backend = ground.open().await;
    for how in ["SIGKILL", "SIGTERM", "remove"] {
        let handle = backend.submit(&job(&["sleep 1000"])).await.unwrap();
        started(&ground, &backend, &handle).await;
        let engine = ground.place.engine();
        let name = container::name(&ground.installation.0, &handle.0, 0);
        match how {
            "remove" => engine.remove(&name).await.unwrap(),
            signal => engine.kill(&name, signal).await.unwrap(),
        }
        let report = ground.ended(&backend, &handle).await;
        let fault = fault(&report);
        assert_eq!((fault.class, fault.user_code_started), (FaultClass::Lost, true), "{how}: {fault:?}");
        assert!(fault.message.contains("from outside"), "{how}: {}", fault.message);
        ground.put_away(&backend, &handle).await;
    }
}

#[tokio::test]
async fn rule_12_7_an_image_that_cannot_be_had_is_named() {
    let ground = docker!();
    let backend = ground.open().await;
    let mut job = job(&["true", "true"]);
    // Nothing listens there, so it may pass, and is tried again before it counts.
    job.plan.executors[0].image = "127.0.0.1:1/tessera-test/none:1".into();
    let handle = backend.submit(&job).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    let fault = fault(&report);
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Unavailable, false));
    let expected = "failed to pull image `127.0.0.1:1/tessera-test/none:1` on `docker`: ";
    assert!(fault.message.starts_with(expected), "{}", fault.message);
    assert!(notes(&report).contains("is tried again"), "{}", notes(&report));
    assert!(report.steps.is_empty());
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn rule_12_7_an_image_that_cannot_be_is_rejected_at_once() {
    let ground = docker!();
    let backend = ground.open().await;
    let mut job = job(&["true"]);
    job.plan.executors[0].image = "Not An Image".into();
    let handle = backend.submit(&job).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    let fault = fault(&report);
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, false), "{fault:?}");
    assert!(fault.message.contains("`Not An Image` on `docker`"), "{}", fault.message);
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn rule_13_6_a_user_that_is_not_root_works_and_one_that_is_not_there_is_rejected() {
    let ground = docker!();
    let backend = ground.open().await;
    let mut job_of_user = job(&["id -u; echo mine > /shared/file"]);
    job_of_user.plan.limits.container_user = Some("12345".into());
    let handle = backend.submit(&job_of_user).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[0].stdout_tail, "12345\n");
    assert_eq!(ground.lines(&handle, "file"), 1);
    ground.put_away(&backend, &handle).await;

    let mut job_of_nobody = job(&["true"]);
    job_of_nobody.plan.limits.container_user = Some("no-such-user".into());
    let handle = backend.submit(&job_of_nobody).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(fault(&report).class, FaultClass::Rejected, "{report:#?}");
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn rule_13_6_without_network_there_is_only_loopback_and_the_hosts_needs_leave() {
    let ground = docker!();
    let backend = ground.open().await;
    let mut quiet = job(&["ls /sys/class/net"]);
    quiet.plan.limits.network = Network::None;
    let handle = backend.submit(&quiet).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(report.steps[0].stdout_tail.lines().filter(|name| name.starts_with("eth")).count(), 0, "{report:#?}");
    ground.put_away(&backend, &handle).await;

    let mut open = job(&["true"]);
    open.plan.limits.network = Network::Host;
    let refused = backend.submit(&open).await;
    assert!(matches!(refused, Err(BackendError::Rejected(_))), "{refused:?}");
}

#[tokio::test]
async fn rule_13_2_processes_are_limited_and_privileges_cannot_be_gained() {
    let ground = docker!();
    let backend = ground.open().await;
    let mut job = job(&[
        "for i in $(seq 40); do sleep 5 & done; wait",
        "grep -E 'NoNewPrivs|CapBnd' /proc/self/status; ls -a /var/run /run 2>/dev/null; echo over",
    ]);
    job.plan.executors[0].ignore_error = true;
    job.plan.limits.pids = Some(16);
    let handle = backend.submit(&job).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert!(report.steps[0].stderr_tail.contains("can't fork"), "{report:#?}");
    let status = &report.steps[1].stdout_tail;
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("over"), "{status}");
    assert!(!status.contains("docker.sock"), "{status}");
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn rule_13_6_the_wall_time_ends_what_takes_too_long() {
    let ground = docker!();
    let backend = ground.open().await;
    let mut job = job(&["echo begun; sleep 1000", "echo never > /shared/second"]);
    job.plan.limits.walltime_ms = Some(700);
    let handle = backend.submit(&job).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    let fault = fault(&report);
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, true));
    assert_eq!(fault.message, "the walltime of 0.7 s is over; what still ran was stopped");
    assert!(!ground.shared(&handle, "second").exists());
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn a_command_is_told_before_it_is_killed() {
    let ground = docker!();
    let backend = ground.open().await;
    let polite = "trap 'echo told > /shared/told; exit 0' TERM; echo on > /shared/on; while :; do sleep 0.01; done";
    let deaf = "trap '' TERM; echo on > /shared/on; while :; do sleep 0.01; done";
    for (script, told) in [(polite, true), (deaf, false)] {
        let mut job = job(&[script]);
        job.plan.policy.stop_grace_ms = 500;
        let handle = backend.submit(&job).await.unwrap();
        while !ground.shared(&handle, "on").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asked = Instant::now();
        backend.cancel(&handle).await.unwrap();
        let report = ground.ended(&backend, &handle).await;
        assert_eq!(report.outcome, Outcome::Canceled);
        assert_eq!(ground.shared(&handle, "told").exists(), told);
        assert!(told || asked.elapsed() >= Duration::from_millis(500), "{:?}", asked.elapsed());
        let labels = [(container::JOB, handle.0.as_str())];
        assert!(ground.place.engine().list(&labels).await.unwrap().is_empty(), "cancelled means that nothing is left");
        ground.put_away(&backend, &handle).await;
    }
}

#[tokio::test]
async fn an_engine_that_goes_away_is_waited_for() {
    let mut ground = docker!();
    let mut proxy = Proxy::before(&ground.place.host, ground.folder.path());
    ground.config.host = Some(proxy.host());
    let backend = ground.open().await;
    let handle = backend
        .submit(&job(&["while [ ! -e /shared/go ]; do sleep 0.02; done; kill -9 $$", "echo second"]))
        .await
        .unwrap();
    started(&ground, &backend, &handle).await;

    proxy.close().await;
    // The last answer is believed for a moment; after that the sentence says what to do.
    let accepted = match backend.submit(&job(&["true"])).await {
        Ok(waiting) => Some(waiting),
        Err(error) => {
            let expected = "start it, or set `host`";
            assert!(matches!(&error, BackendError::Unavailable(text) if text.contains(expected)), "{error}");
            None
        }
    };
    std::fs::write(ground.shared(&handle, "go"), "").unwrap();
    let told = |seen| match seen {
        Observation::Working(progress) => {
            progress.notes.iter().any(|note| note.text.contains("does not answer")).then_some(())
        }
        other => panic!("{other:?}"),
    };
    ground.until(&backend, &handle, told).await;

    proxy.open().await;
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(report.outcome, Outcome::ExecutorFailed { step: 0 }, "{report:#?}");
    assert_eq!(report.steps[0].exit_code, 137);
    assert!(notes(&report).contains("answers again"), "{}", notes(&report));
    ground.put_away(&backend, &handle).await;
    if let Some(waiting) = accepted {
        assert_eq!(ground.ended(&backend, &waiting).await.outcome, Outcome::Complete);
        ground.put_away(&backend, &waiting).await;
    }
}

#[tokio::test]
async fn no_engine_is_said_with_what_to_do() {
    let mut ground = docker!();
    ground.config.host = Some("unix:///no/such/engine.sock".into());
    let backend = ground.open().await;
    assert!(backend.profile().capacity.cpu_milli.is_some_and(|milli| milli >= 1_000));
    let refused = backend.submit(&job(&["true"])).await.unwrap_err();
    let expected = "the container engine of `docker` at unix:///no/such/engine.sock does not answer: there is no \
                    socket at /no/such/engine.sock; start it, or set `host` of the backend";
    assert_eq!(refused, BackendError::Unavailable(expected.to_owned()));
    let findings = backend.check().await;
    assert!(findings.iter().any(|f| f.subject == "engine" && f.severity == Severity::Problem), "{findings:?}");
}

#[tokio::test]
async fn a_runtime_that_cannot_be_executed_is_an_operators_matter() {
    let mut ground = docker!();
    let broken = ground.folder.path().join("runtime");
    std::fs::write(&broken, "no program").unwrap();
    ground.place.runtime = broken;
    let backend = ground.open().await;
    let refused = backend.submit(&job(&["true"])).await.unwrap_err();
    assert!(matches!(&refused, BackendError::Misconfigured(text) if text.contains("noexec")), "{refused}");
    let findings = backend.check().await;
    assert!(findings.iter().any(|f| f.subject == "runtime" && f.severity == Severity::Problem), "{findings:?}");
    assert!(backend.inventory(None).await.unwrap().jobs.is_empty(), "a job that was refused is not held");
}

#[tokio::test]
async fn a_node_that_never_gets_anywhere_is_given_up() {
    let mut ground = docker!();
    ground.place.runtime = "/bin/false".into();
    ground.config.node_restarts = 2;
    let backend = ground.open().await;
    let handle = backend.submit(&job(&["true"])).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    let fault = fault(&report);
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Lost, false));
    assert!(fault.message.starts_with("the node process died 3 times"), "{}", fault.message);
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn what_is_released_has_no_container_left() {
    let ground = docker!();
    let backend = ground.open().await;
    let handle = backend.submit(&job(&["true"])).await.unwrap();
    ground.ended(&backend, &handle).await;
    // A caller that gives up at once loses nothing: the job is seen as it ended, and can be released again.
    let _ = tokio::time::timeout(Duration::ZERO, backend.release(&handle)).await;
    let seen = backend.observe(std::slice::from_ref(&handle)).await.unwrap();
    assert!(matches!(seen[0], Observation::Ended(_)), "{seen:?}");
    backend.release(&handle).await.unwrap();
    let labels = [(container::JOB, handle.0.as_str())];
    assert!(ground.place.engine().list(&labels).await.unwrap().is_empty(), "released means that nothing is left");
    ground.gone(&handle).await;
}

#[tokio::test]
async fn a_job_that_ran_when_the_host_was_restarted_is_lost() {
    let ground = docker!();
    let backend = ground.open().await;
    let handle = backend.submit(&job(&["sleep 1000"])).await.unwrap();
    started(&ground, &backend, &handle).await;
    let attempt = ground.attempt(&handle);
    attempt.replace(attempt::BOOT, &"another", Keep::Durably).unwrap();
    assert!(crate::crash::kill_node(&attempt));
    let report = ground.ended(&backend, &handle).await;
    let fault = fault(&report);
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Lost, true), "{report:#?}");
    assert_eq!(fault.message, "the host was restarted while the job ran");
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn containers_without_a_directory_are_found_and_removed() {
    let ground = docker!();
    let backend = ground.open().await;
    let handle = backend.submit(&job(&["sleep 1000"])).await.unwrap();
    started(&ground, &backend, &handle).await;
    crate::crash::kill_node(&ground.attempt(&handle));
    std::fs::remove_dir_all(ground.attempt(&handle).dir()).unwrap();
    let held = backend.inventory(None).await.unwrap().jobs;
    assert_eq!(held.iter().map(|found| &found.handle).collect::<Vec<_>>(), [&handle]);
    backend.release(&handle).await.unwrap();
    ground.gone(&handle).await;
    assert!(backend.inventory(None).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_link_in_the_place_of_a_record_is_not_followed() {
    let ground = docker!();
    let backend = ground.open().await;
    let script = "cd /.tessera/step; rm -f record.json frames; ln -s /etc/passwd record.json; ln -s /etc/passwd frames; echo > bell; sleep 1000";
    let handle = backend.submit(&job(&[script])).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    let fault = fault(&report);
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, true), "{report:#?}");
    assert!(!format!("{report:?}").contains("root:x"), "{report:#?}");
    let labels = [(container::JOB, handle.0.as_str())];
    assert!(ground.place.engine().list(&labels).await.unwrap().is_empty(), "it was stopped before it was reported");
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn a_pull_is_only_done_when_the_image_is_missing() {
    let Ok(registry) = std::env::var("TESSERA_TEST_REGISTRY") else {
        assert!(std::env::var_os("TESSERA_REQUIRE_ENGINES").is_none(), "TESSERA_TEST_REGISTRY names no registry");
        eprintln!("cannot run: TESSERA_TEST_REGISTRY names no registry; tests/engines/registry starts one");
        return;
    };
    let ground = docker!();
    let backend = ground.open().await;
    let image = format!("{registry}/{}:1", unique());
    let docker = |arguments: &[&str]| {
        let done = std::process::Command::new("docker").args(arguments).output().unwrap();
        assert!(done.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    docker(&["tag", crate::ground::IMAGE, &image]);
    docker(&["push", "-q", &image]);
    docker(&["rmi", &image]);

    let mut executor = shell("echo pulled", &[], BTreeMap::new());
    executor.image.clone_from(&image);
    for pulls in [true, false] {
        let handle = backend.submit(&job_of(vec![executor.clone()])).await.unwrap();
        let report = ground.ended(&backend, &handle).await;
        assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
        assert_eq!(
            notes(&report).contains(&format!("pulling image `{image}` on `docker`")),
            pulls,
            "{}",
            notes(&report)
        );
        assert!(report.metadata["image_digests"].contains("@sha256:"), "{:?}", report.metadata);
        ground.put_away(&backend, &handle).await;
    }
    docker(&["rmi", &image]);

    executor.image = format!("{registry}/{}:1", unique());
    let handle = backend.submit(&job_of(vec![executor])).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(fault(&report).class, FaultClass::Rejected, "{report:#?}");
    ground.put_away(&backend, &handle).await;
}

#[tokio::test]
async fn an_upgrade_under_a_running_job_goes_on_with_the_new_runtime() {
    let mut ground = docker!();
    let old = ground.folder.path().join("runtime-of-before");
    std::fs::copy(&ground.place.runtime, &old).unwrap();
    let new = std::mem::replace(&mut ground.place.runtime, old);
    let before = ground.open().await;
    let script = "while [ ! -e /shared/go ]; do sleep 0.02; done";
    let handle = before.submit(&job(&[script, "echo second"])).await.unwrap();
    started(&ground, &before, &handle).await;
    drop(before);

    crate::crash::kill_node(&ground.attempt(&handle));
    ground.place.runtime = new;
    let after = ground.open().await;
    std::fs::write(ground.shared(&handle, "go"), "").unwrap();
    let report = ground.ended(&after, &handle).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[1].stdout_tail, "second\n");
    ground.put_away(&after, &handle).await;
}
