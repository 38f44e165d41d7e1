//! The jobs of the suite.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tessera_runtime::plan::{Executor, Input, Kind, Output, PLAN_VERSION, Plan, Source};

use crate::{Job, JobId};

/// The image of most tests; see `tests/images/build`.
pub const IMAGE: &str = "tessera-test/busybox:1";
/// A volume of most tests.
pub const SHARED: &str = "/shared";

/// A text that no other test uses: process, count and time.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() & 0xffff_ffff;
    format!("{:x}{nanos:08x}{:04x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A job that runs these shell scripts, one executor each.
pub fn job(scripts: &[&str]) -> Job {
    job_of(scripts.iter().map(|script| script_of(script)).collect())
}

/// A job of these executors.
pub fn job_of(executors: Vec<Executor>) -> Job {
    let id = JobId::of_attempt(&unique(), 1);
    Job {
        plan: Plan {
            version: PLAN_VERSION,
            job: id.to_string(),
            inputs: Vec::new(),
            executors,
            outputs: Vec::new(),
            volumes: vec![SHARED.to_owned()],
            limits: Default::default(),
            policy: Default::default(),
            storage: Default::default(),
        },
        id,
        owner: "tests".to_owned(),
        preemptible: false,
        zones: Vec::new(),
        parameters: BTreeMap::new(),
    }
}

/// An executor that runs a shell script with these arguments and this environment.
pub fn shell(script: &str, arguments: &[String], env: BTreeMap<String, String>) -> Executor {
    let mut command: Vec<String> = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    command.extend_from_slice(arguments);
    Executor {
        image: IMAGE.to_owned(),
        command,
        workdir: None,
        env,
        stdin: None,
        stdout: None,
        stderr: None,
        ignore_error: false,
    }
}

/// An executor that runs a shell script.
pub fn script_of(script: &str) -> Executor {
    shell(script, &[], BTreeMap::new())
}

/// An executor that runs these words.
pub fn exact(command: &[&str]) -> Executor {
    Executor { command: command.iter().map(|&word| word.to_owned()).collect(), ..script_of("") }
}

/// An input that is a text.
pub fn content(path: &str, text: &str) -> Input {
    Input { path: path.into(), source: Source::Content(text.into()), kind: None }
}

/// An output to a place of this host.
pub fn output(path: &str, to: &Path, kind: Option<Kind>) -> Output {
    Output { path: path.into(), url: to.display().to_string(), path_prefix: None, kind }
}
