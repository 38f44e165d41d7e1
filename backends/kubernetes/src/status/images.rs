//! What the words about an image mean.

use tessera_runtime::report::FaultClass;

/// What a node says about an image, without what is said around it: the same sentence whether it tries or pauses.
pub(super) fn cause(message: &str) -> &str {
    let mut rest = message;
    if rest.starts_with("Back-off pulling image") {
        rest = rest.split_once(": ").map_or(rest, |(_, cause)| cause);
    }
    loop {
        let cut = ["ErrImagePull: ", "rpc error: code = "].iter().find_map(|head| rest.strip_prefix(head));
        match cut {
            Some(cut) => rest = cut.split_once("desc = ").map_or(cut, |(_, words)| words),
            None => return rest.trim(),
        }
    }
}

/// Whether a node says no more than that it will try again.
pub(super) fn is_no_cause(message: &str) -> bool {
    message.starts_with("Back-off pulling image") && !message.contains(": ")
}

/// What it means that an image could not be pulled for as long as we were willing to wait.
pub(super) fn pull_class(message: &str, logins: bool) -> FaultClass {
    let words = message.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|text| words.contains(text));
    if says(&["no space left", "read-only file system"]) {
        FaultClass::Misconfigured
    } else if says(&["toomanyrequests", "too many requests", "rate limit"])
        || says(&["no such host", "name resolution", "server misbehaving", "connection refused", "connection reset"])
        || says(&["timeout", "timed out", "deadline exceeded", "no route to host", "network is unreachable", "eof"])
        || says(&["500 internal", "502 bad gateway", "503 service", "504 gateway", "registryunavailable"])
    {
        FaultClass::Unavailable
    } else if says(&["unauthorized", "authentication required", "no basic auth credentials", "authorization failed"]) {
        // A login that is refused is the operator's; without one the image is simply not ours to pull.
        if logins { FaultClass::Misconfigured } else { FaultClass::Rejected }
    } else {
        FaultClass::Rejected
    }
}

/// Nothing will be different the next time.
pub(super) fn never_fits(message: &str) -> bool {
    ["no match for platform", "no matching manifest", "exec format error"].iter().any(|text| message.contains(text))
}

/// A sentence on an image that cannot be pulled.
pub(super) fn pulling(backend: &str, image: &str, message: &str) -> String {
    let advice = architecture(message);
    format!("failed to pull image `{image}` on `{backend}`: {}{advice}", cause(message))
}

/// A sentence on a container that cannot be started.
pub(super) fn starting(backend: &str, image: &str, message: &str) -> String {
    let advice = architecture(message);
    let words = message.trim();
    let words = if words.is_empty() { "the node does not say why" } else { words };
    format!("failed to start a container of `{image}` on `{backend}`: {words}{advice}")
}

/// What it means that a container could not be made or started.
pub(super) fn start_class(message: &str) -> FaultClass {
    let words = message.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|text| words.contains(text));
    if says(&["no space left", "read-only file system", "permission denied", "secret \"", "configmap \""]) {
        FaultClass::Misconfigured
    } else if says(&["deadline exceeded", "timed out", "connection refused", "already reserved", "context canceled"]) {
        FaultClass::Unavailable
    } else {
        FaultClass::Rejected
    }
}

/// The same of a container of ours: what is wrong with our image is the operator's.
pub(super) fn start_class_of_ours(message: &str) -> FaultClass {
    match start_class(message) {
        // The node itself went away in the middle of it, or was too busy.
        FaultClass::Unavailable => FaultClass::Unavailable,
        FaultClass::Rejected | FaultClass::Misconfigured | FaultClass::Lost => FaultClass::Misconfigured,
    }
}

fn architecture(message: &str) -> &'static str {
    if never_fits(message) {
        "; the image is for another architecture than the node's: choose one that has the node's, or nodes that fit"
    } else {
        ""
    }
}
