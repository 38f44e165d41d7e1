//! What an operator should know: the smallest calls that prove the backend usable.

use std::fs;

use bollard::models::SystemInfo;
use rustix::fs::Access;
use tessera_contract::{Finding, Severity};

use crate::watch::Watch;

/// Looks at the engine, the work directory, the runtime and the logins.
pub(crate) async fn check(watch: &Watch) -> Vec<Finding> {
    let mut findings = vec![work_directory(watch), runtime_binary(watch)];
    match watch.engine_answers().await {
        Err(error) => findings.push(finding(Severity::Problem, "engine", error.to_string())),
        Ok(api) => match watch.engine.info().await {
            Ok(info) => {
                findings.push(engine(&api, &info));
                findings.extend(limits(&info));
                findings.push(gpus(&info));
            }
            Err(error) => findings.push(finding(
                Severity::Warning,
                "engine",
                format!("answers, but does not describe itself: {error}"),
            )),
        },
    }
    if watch.logins.has_helpers() {
        let text = "Docker's own file leaves logins to a helper program, which is not asked: list private \
                    registries in `registries`";
        findings.push(finding(Severity::Warning, "registries", text.to_owned()));
    }
    findings
}

fn work_directory(watch: &Watch) -> Finding {
    let work = watch.folder.path();
    let probe = work.join(".probe");
    match fs::write(&probe, "x").and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => finding(Severity::Ok, "work directory", format!("{} is writable", work.display())),
        Err(e) => finding(
            Severity::Problem,
            "work directory",
            format!("{} cannot be written: {e}; make it writable for the server, or make room", work.display()),
        ),
    }
}

fn runtime_binary(watch: &Watch) -> Finding {
    let runtime = &watch.setting.runtime_binary;
    match rustix::fs::access(runtime, Access::EXEC_OK) {
        Ok(()) => finding(Severity::Ok, "runtime", format!("{} can be executed", runtime.display())),
        Err(e) => finding(
            Severity::Problem,
            "runtime",
            format!(
                "{} cannot be executed: {e}; put the data directory on a file system that is not mounted noexec",
                runtime.display()
            ),
        ),
    }
}

fn engine(api: &str, info: &SystemInfo) -> Finding {
    let version = info.server_version.as_deref().unwrap_or("of unknown version");
    // Podman names its own host in the place where Docker names the operating system's security options.
    let rootless = info.security_options.iter().flatten().any(|option| option.contains("rootless"));
    let owner = if rootless { "rootless" } else { "running as root" };
    let system = info.operating_system.as_deref().unwrap_or("an unknown system");
    let text = format!("version {version}, API {api}, {owner}, on {system}");
    if !rootless && !rustix::process::geteuid().is_root() {
        return finding(
            Severity::Warning,
            "engine",
            format!(
                "{text}; the server is not root, so it cannot remove what containers write as root: run it as \
                 root, or use a rootless engine"
            ),
        );
    }
    finding(Severity::Ok, "engine", text)
}

fn limits(info: &SystemInfo) -> Option<Finding> {
    let missing: Vec<&str> = [("memory", info.memory_limit), ("cpu", info.cpu_cfs_quota), ("pids", info.pids_limit)]
        .into_iter()
        .filter_map(|(name, there)| (there == Some(false)).then_some(name))
        .collect();
    (!missing.is_empty()).then(|| {
        let text =
            format!("the engine cannot enforce: {}; enable these cgroup controllers on the host", missing.join(", "));
        finding(Severity::Warning, "limits", text)
    })
}

fn gpus(info: &SystemInfo) -> Finding {
    let known = info.runtimes.iter().flatten().any(|(name, _)| name.contains("nvidia"));
    let text = if known {
        "the engine offers GPUs"
    } else {
        "the engine offers no GPUs: tasks with `gpu_count` will fail here"
    };
    finding(Severity::Ok, "gpu", text.to_owned())
}

fn finding(severity: Severity, subject: &str, message: String) -> Finding {
    Finding { severity, subject: subject.to_owned(), message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_limit_that_is_not_enforced_is_named() {
        let info = SystemInfo { memory_limit: Some(false), pids_limit: Some(true), ..Default::default() };
        let found = limits(&info).unwrap();
        assert_eq!(found.severity, Severity::Warning);
        assert!(found.message.contains("memory") && !found.message.contains("pids"), "{}", found.message);
        assert_eq!(limits(&SystemInfo::default()), None);
    }
}
