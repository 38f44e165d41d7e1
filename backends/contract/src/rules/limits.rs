//! What a task may use, and what it is told to have used (TES contract §13, 15.7).

use std::time::Instant;

use futures::future::join_all;
use tessera_runtime::report::{FaultClass, Outcome};

use super::Ground;
use super::jobs::{content, job};
use super::told::{fault, notes};

/// What follows `=` in a line that a command printed.
fn said<'a>(printed: &'a str, key: &str) -> &'a str {
    let line = printed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no `{key}` in {printed}"))
}

/// Prints a container's own limits, whatever version of control groups the host has.
const LIMITS: &str = "cd /sys/fs/cgroup; \
    echo cpu=$(cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); \
    echo memory=$(cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes); \
    echo pids=$(cat pids.max 2>/dev/null || cat pids/pids.max)";

/// Cores, memory and, where the engine can, processes.
pub async fn rule_13_2_requests_are_limits_of_the_container(ground: &dyn Ground) {
    let mut job = job(&[LIMITS]);
    job.plan.limits.cpu_milli = Some(1_500);
    job.plan.limits.ram_bytes = Some(64 << 20);
    job.plan.limits.pids = ground.can().limit_processes.then_some(77);
    let report = ground.run(job).await;
    let printed = &report.steps[0].stdout_tail;
    assert_eq!(said(printed, "cpu"), "150000 100000", "{report:#?}");
    assert_eq!(said(printed, "memory"), (64 << 20).to_string());
    if ground.can().limit_processes {
        assert_eq!(said(printed, "pids"), "77");
    }
}

/// One byte of memory holds no process at all.
pub async fn rule_13_1_a_request_too_small_for_any_container_is_raised(ground: &dyn Ground) {
    let mut job = job(&["echo ran"]);
    job.plan.limits.cpu_milli = Some(1);
    job.plan.limits.ram_bytes = Some(1);
    let report = ground.run(job).await;
    assert_eq!(report.steps[0].stdout_tail, "ran\n", "{report:#?}");
}

/// Among the task's files, in its `/tmp`, and beside both in the container.
pub async fn rule_13_2_who_writes_more_than_the_disk_allowed_is_stopped(ground: &dyn Ground) {
    // An engine that bounds by itself what a container has beside its mounts looks at it now and then, and has a margin.
    let inside = ground.can().weigh_containers.then_some("/root/large");
    let jobs = ["/shared/large", "/tmp/large"].into_iter().chain(inside).map(|place| async move {
        let count = if Some(place) == inside { 384 } else { 96 };
        let script = format!("dd if=/dev/zero of={place} bs=1M count={count} || exit 28; sleep 1000");
        let mut job = job(&[&script, "echo never"]);
        job.plan.limits.disk_bytes = Some(64 << 20);
        (place, ground.run(job).await)
    });
    for (place, report) in join_all(jobs).await {
        assert!(report.steps.len() <= 1, "the second executor never starts: {report:#?}");
        if place == "/root/large" && report.outcome == (Outcome::ExecutorFailed { step: 0 }) {
            // An engine with quotas: the command itself found its container full.
            assert_eq!(report.steps[0].exit_code, 28, "{report:#?}");
            let room = "executor 0 could write up to 0.06 GiB (`disk_gb`) beside its mounts and its image\n";
            assert!(notes(&report).contains(room), "{}", notes(&report));
            continue;
        }
        let fault = fault(&report);
        assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, true), "{place}: {report:#?}");
        if Some(place) == inside && !report.metadata.contains_key("disk_used_bytes") {
            // The engine ended it by itself, and says so in words of its own.
            assert!(fault.message.contains("the task used more disk than it may; ask for more `disk_gb`"), "{fault:?}");
            continue;
        }
        assert_eq!(report.notes.last().unwrap().text, fault.message);
        assert!(fault.message.starts_with("the task used 0."), "{}", fault.message);
        let end = " GiB of disk and may use 0.06 GiB; what still ran was stopped; ask for more `disk_gb`";
        assert!(fault.message.ends_with(end), "{}", fault.message);
        assert!(report.metadata["disk_used_bytes"].parse::<u64>().unwrap() > 64 << 20, "{:?}", report.metadata);
    }
}

/// What was fetched takes room as well.
pub async fn rule_13_2_inputs_count_as_disk(ground: &dyn Ground) {
    let mut job = job(&["sleep 1000"]);
    let text = "x".repeat(128 << 10);
    for at in 0..4 {
        job.plan.inputs.push(content(&format!("/in/{at}"), &text));
    }
    job.plan.limits.disk_bytes = Some(256 << 10);
    let report = ground.run(job).await;
    let fault = fault(&report);
    assert_eq!(fault.class, FaultClass::Rejected, "{report:#?}");
    assert!(fault.message.contains("ask for more `disk_gb`"), "{}", fault.message);
}

/// And is told what it used.
pub async fn rule_13_2_who_stays_below_the_disk_allowed_is_left_alone(ground: &dyn Ground) {
    // Long enough to be measured.
    let mut job = job(&["dd if=/dev/zero of=/shared/file bs=1M count=8 2>/dev/null; sleep 1"]);
    job.plan.limits.disk_bytes = Some(64 << 20);
    let report = ground.run(job).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    let used: u64 = report.metadata["disk_used_bytes"].parse().unwrap();
    assert!((8 << 20..10 << 20).contains(&used), "{used}");
    assert!(!notes(&report).contains("disk"), "{}", notes(&report));
}

/// Memory, time and disk of all executors together.
pub async fn rule_15_7_what_was_used_is_told(ground: &dyn Ground) {
    // One process holds 100 MiB for half a second; a later executor computes; both leave files.
    let hold = "dd if=/dev/zero of=/dev/null bs=100M count=8 2>/dev/null; head -c 3000000 /dev/zero > /shared/a";
    let compute =
        "i=0; while [ $i -lt 600000 ]; do i=$((i + 1)); done; (head -c 5000000 /dev/zero > /shared/b) &  wait";
    let began = Instant::now();
    let report = ground.run(job(&[hold, compute])).await;
    let at_most_ms = u64::try_from(began.elapsed().as_millis()).unwrap() * 64;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    let figure = |key: &str| report.metadata[key].parse::<u64>().unwrap();
    let (peak, average) = (figure("peak_memory_bytes"), figure("avg_memory_bytes"));
    assert!((100 << 20..300 << 20).contains(&peak), "{:?}", report.metadata);
    assert!((100 << 10..peak).contains(&average), "{:?}", report.metadata);
    let (cpu, user, system) = (figure("cpu_time_ms"), figure("user_cpu_time_ms"), figure("system_cpu_time_ms"));
    assert_eq!(cpu, user + system);
    assert!(user >= 100 && cpu < at_most_ms, "{:?}", report.metadata);
    let disk = figure("disk_used_bytes");
    assert!((8_000_000..9_000_000).contains(&disk), "{:?}", report.metadata);
}
