//! The processes of a container, seen from its node, which is this machine.

use std::fs;

use k8s_openapi::api::core::v1::Pod;
use rustix::process::{Pid, Signal, kill_process};

/// Kills the first process of a Pod's container, as a lack of memory would. `false` where the node is not this machine.
pub(crate) fn kill_first(pod: &Pod, container: &str) -> bool {
    let Some(id) = container_id(pod, container) else { return false };
    let first = processes().filter(|pid| in_container(*pid, &id)).find(|pid| is_first(*pid));
    let killed = first.and_then(Pid::from_raw).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
    // The node of our own rig is this machine: there it must be.
    assert!(killed || std::env::var_os("TESSERA_TEST_CLUSTER").is_none(), "no process of {container} was found");
    if !killed {
        eprintln!("cannot run: no process of {container} is on this machine");
    }
    killed
}

fn container_id(pod: &Pod, container: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let id = all.into_iter().find(|one| one.name == container)?.container_id.clone()?;
    Some(id.split("://").last()?.to_owned())
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn in_container(pid: i32, id: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(id))
}

/// Whether it is process 1 of a namespace of its own.
fn is_first(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}
