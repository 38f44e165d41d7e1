//! Nodes that are killed: at every moment the next one goes on, and no command is started twice.

use tessera_runtime::node::attempt::{self, Attempt};

/// Kills the node of an attempt, as a crash would: no warning.
pub(crate) fn kill_node(attempt: &Attempt) -> bool {
    let Ok(text) = std::fs::read_to_string(attempt.file(attempt::LOCK)) else {
        return false;
    };
    let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
}
