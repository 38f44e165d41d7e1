//! Images: pulled only when they are missing, and what a pull that failed means.

use std::sync::Mutex;
use std::time::Duration;

use super::engine::{Engine, EngineError};
use super::layers::Layers;
use super::settings::{PullSettings, RegistryLogin};
use crate::report::FaultClass;

/// A reference the engine takes for one image: without tag and digest it would pull every tag there is.
pub fn whole_reference(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if image.contains('@') || last.contains(':') { image.to_owned() } else { format!("{image}:latest") }
}

/// A pull that failed for good, or for as long as we were willing to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFault {
    /// What may be done about it.
    pub class: FaultClass,
    /// The engine's words.
    pub words: String,
}

/// Pulls an image, repeating what may pass. `layers` is told how far it is, `waits` each reason to try again.
pub async fn pull(
    engine: &Engine,
    image: &str,
    login: Option<&RegistryLogin>,
    settings: PullSettings,
    layers: &Mutex<Layers>,
    waits: impl Fn(&str),
) -> Result<(), PullFault> {
    let mut pause = Duration::from_millis(settings.backoff_ms);
    let mut tries = 0;
    loop {
        let stall = Duration::from_millis(settings.stall_ms);
        let error = match engine.pull(image, login, stall, layers).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        tries += 1;
        let class = class_of(&error, login.is_some());
        let words = error.to_string();
        let again = match class {
            FaultClass::Unavailable => tries < settings.attempts,
            FaultClass::Rejected | FaultClass::Misconfigured | FaultClass::Lost => false,
        };
        if !again {
            return Err(PullFault { class, words });
        }
        waits(&words);
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// What a failed pull means. Engines pass the registry's words on, so words are all there is to go by; what is
/// not known to be final may pass.
fn class_of(error: &EngineError, with_login: bool) -> FaultClass {
    let words = error.to_string().to_lowercase();
    let says = |any: &[&str]| any.iter().any(|text| words.contains(text));
    if says(&["toomanyrequests", "too many requests", "rate limit"]) {
        FaultClass::Unavailable
    } else if says(&["no space left", "read-only file system"]) {
        FaultClass::Misconfigured
    } else if says(&[
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "incorrect username or password",
        "authorization failed",
    ]) {
        // A login that is refused is the operator's; without one the image is simply not ours to pull.
        if with_login { FaultClass::Misconfigured } else { FaultClass::Rejected }
    } else if says(&[
        "no such host",
        "name resolution",
        "server misbehaving",
        "connection refused",
        "connection reset",
        "timeout",
        "timed out",
        "unexpected http status: 5",
        "network is unreachable",
    ]) {
        FaultClass::Unavailable
    } else if says(&[
        "manifest unknown",
        "not found",
        "does not exist",
        "no such image",
        "name unknown",
        "access denied",
        "access to the resource is denied",
        "no matching manifest",
        "invalid reference",
        "invalid repository name",
        "invalid tag",
        "unsupported media type",
        "repository name must",
    ]) {
        FaultClass::Rejected
    } else {
        match error {
            EngineError::NotFound(_) | EngineError::Refused(_) => FaultClass::Rejected,
            EngineError::Conflict(_) | EngineError::Failed(_) | EngineError::Unreachable(_) => FaultClass::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_one_image() {
        for (given, whole) in [
            ("busybox", "busybox:latest"),
            ("a/b:1", "a/b:1"),
            ("localhost:5000/b", "localhost:5000/b:latest"),
            ("r/b@sha256:0", "r/b@sha256:0"),
        ] {
            assert_eq!(whole_reference(given), whole);
        }
    }

    #[test]
    fn what_a_failed_pull_means() {
        use EngineError::{Failed, NotFound, Refused};
        let table = [
            (NotFound("manifest for x:9 not found: manifest unknown: manifest unknown".into()), FaultClass::Rejected),
            (NotFound("pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied".into()), FaultClass::Rejected),
            (Refused("invalid reference format".into()), FaultClass::Rejected),
            (Failed("Get \"https://r/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused".into()), FaultClass::Unavailable),
            (Failed("Get \"https://r/v2/\": net/http: TLS handshake timeout".into()), FaultClass::Unavailable),
            (Failed("dial tcp: lookup r.example: no such host".into()), FaultClass::Unavailable),
            (Failed("toomanyrequests: You have reached your pull rate limit".into()), FaultClass::Unavailable),
            (Failed("received unexpected HTTP status: 503 Service Unavailable".into()), FaultClass::Unavailable),
            (Failed("write /var/lib/docker/x: no space left on device".into()), FaultClass::Misconfigured),
            (Failed("something new".into()), FaultClass::Unavailable),
            (Failed("Head \"http://r/v2/x/manifests/1\": unauthorized: authentication required".into()), FaultClass::Rejected),
        ];
        for (error, class) in table {
            assert_eq!(class_of(&error, false), class, "{error}");
        }
        let refused = Failed("unauthorized: incorrect username or password".into());
        assert_eq!(class_of(&refused, true), FaultClass::Misconfigured);
    }
}
