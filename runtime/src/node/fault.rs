//! What an error means for the attempt: a fault with a sentence and a class.

use super::engine::EngineError;
pub(super) use crate::course::trouble::Trouble;
use crate::report::FaultClass;

/// What it means that a container cannot be created.
pub(super) fn creating(backend: &str, image: &str, error: &EngineError) -> Trouble {
    let words = error.to_string();
    let class = match error {
        EngineError::NotFound(_) | EngineError::Refused(_) | EngineError::Conflict(_) => FaultClass::Rejected,
        EngineError::Failed(_) => class_of(&words),
        EngineError::Unreachable(_) => FaultClass::Unavailable,
    };
    Trouble::new(class, format!("failed to create a container of `{image}` on `{backend}`: {words}"))
}

/// What it means that a container cannot be started.
pub(super) fn starting(backend: &str, image: &str, error: &EngineError) -> Trouble {
    let words = error.to_string();
    let class = match error {
        EngineError::Unreachable(_) => FaultClass::Unavailable,
        EngineError::NotFound(_) | EngineError::Refused(_) | EngineError::Conflict(_) | EngineError::Failed(_) => {
            class_of(&words)
        }
    };
    let advice = if words.contains("could not select device driver") {
        "; this engine has no GPU support: install the vendor's container toolkit or do not ask for `gpu_count`"
    } else if words.contains(crate::step::RUNTIME_PATH) && words.contains("permission denied") {
        "; the server's data directory must not be mounted noexec"
    } else {
        ""
    };
    Trouble::new(class, format!("failed to start a container of `{image}` on `{backend}`: {words}{advice}"))
}

/// Sorts what an engine or its runtime says. What is not known to be final may pass.
fn class_of(words: &str) -> FaultClass {
    let words = words.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|text| words.contains(text));
    if says(&["no space left", "read-only file system", "exec format error", "permission denied"]) {
        FaultClass::Misconfigured
    } else if says(&[
        "unable to find user",
        "unable to find group",
        "no matching entries in passwd",
        "no matching entries in group",
        "could not select device driver",
        "not a directory",
        "invalid argument",
        "minimum memory limit",
        "no such file or directory",
        "range of cpus",
    ]) {
        FaultClass::Rejected
    } else {
        FaultClass::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_start_means() {
        let table = [
            (
                "OCI runtime create failed: unable to find user foo: no matching entries in passwd file",
                FaultClass::Rejected,
            ),
            ("could not select device driver \"\" with capabilities: [[gpu]]", FaultClass::Rejected),
            ("exec: \"/.tessera/runtime\": permission denied", FaultClass::Misconfigured),
            ("exec /.tessera/runtime: exec format error", FaultClass::Misconfigured),
            ("write x: no space left on device", FaultClass::Misconfigured),
            ("containerd: deadline exceeded", FaultClass::Unavailable),
        ];
        for (words, class) in table {
            let trouble = starting("docker", "a:1", &EngineError::Failed(words.into()));
            assert_eq!(trouble.class, class, "{words}");
            assert!(trouble.message.contains("`a:1` on `docker`"), "{}", trouble.message);
        }
    }
}
