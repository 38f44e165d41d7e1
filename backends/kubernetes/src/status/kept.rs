//! What a new look at a pod takes over from the one before.

use jiff::Timestamp;

use super::images;
use super::pod::{self, Look};
use crate::view::PodSeen;

/// Completes what is seen of a pod now by what was seen before, `at` being now by our own clock.
pub(crate) fn keep(before: Option<&PodSeen>, seen: &mut PodSeen, at: Timestamp) {
    time_of_disruption(before, seen, at);
    if let Some(before) = before {
        cause(before, seen);
    }
}

/// Since when the cluster takes a pod away is compared with our clock, so it is told by our clock: the cluster's may be
/// minutes off.
fn time_of_disruption(before: Option<&PodSeen>, seen: &mut PodSeen, at: Timestamp) {
    let known = before.and_then(|before| Look::at(before).condition("DisruptionTarget"));
    let known = known.filter(|known| known.status == "True").and_then(|known| known.last_transition_time.clone());
    let conditions = seen.status.conditions.iter_mut().flatten();
    for condition in conditions.filter(|condition| condition.type_ == "DisruptionTarget") {
        condition.last_transition_time = Some(known.clone().unwrap_or_else(|| at.into()));
    }
}

/// A node that pauses between two tries may say only that it does (before Kubernetes 1.31): the cause that it gave
/// before still holds.
fn cause(before: &PodSeen, seen: &mut PodSeen) {
    let status = &mut seen.status;
    let statuses = [&mut status.init_container_statuses, &mut status.container_statuses];
    for container in statuses.into_iter().flatten().flatten() {
        let Some(known) = Look::at(before).container(&container.name).and_then(pod::waiting) else { continue };
        let Some(waiting) = container.state.as_mut().and_then(|state| state.waiting.as_mut()) else { continue };
        let of_image = |reason: &Option<String>| matches!(reason.as_deref(), Some("ErrImagePull" | "ImagePullBackOff"));
        let says_why = waiting.message.as_deref().is_some_and(|message| !images::is_no_cause(message));
        if of_image(&known.reason) && of_image(&waiting.reason) && !says_why && known.message.is_some() {
            waiting.message.clone_from(&known.message);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::status::tests::{at, pod};

    fn waits(reason: &str, message: &str) -> PodSeen {
        pod("Pending", &[("executor-0", json!({"waiting": {"reason": reason, "message": message}}))], json!({}))
    }

    fn message(pod: &PodSeen) -> String {
        let container = Look::at(pod).container("executor-0").unwrap();
        pod::waiting(container).unwrap().message.clone().unwrap()
    }

    #[test]
    fn why_an_image_cannot_be_pulled_is_told_also_while_the_node_pauses() {
        let failed = waits("ErrImagePull", "dial tcp: no such host");
        for (reason, says, told) in [
            ("ImagePullBackOff", "Back-off pulling image \"r:5000/x\"", "dial tcp: no such host"),
            (
                "ImagePullBackOff",
                "Back-off pulling image \"x\": ErrImagePull: other",
                "Back-off pulling image \"x\": ErrImagePull: other",
            ),
            ("ErrImagePull", "not found", "not found"),
            ("CreateContainerError", "Back-off pulling image \"x\"", "Back-off pulling image \"x\""),
        ] {
            let mut seen = waits(reason, says);
            keep(Some(&failed), &mut seen, at("2026-01-01T00:01:00Z"));
            assert_eq!(message(&seen), told);
        }
    }

    #[test]
    fn since_when_a_node_is_lost_is_told_by_our_clock() {
        let of = |since: &str| -> Value {
            json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
                "lastTransitionTime": since}]})
        };
        // The cluster is an hour behind us.
        let mut first = pod("Running", &[], of("2025-12-31T23:00:00Z"));
        keep(None, &mut first, at("2026-01-01T00:00:00Z"));
        let mut second = pod("Running", &[], of("2025-12-31T23:00:00Z"));
        keep(Some(&first), &mut second, at("2026-01-01T00:00:50Z"));
        assert_eq!(first, second);
        assert!(Look::at(&second).lost_node_by(at("2026-01-01T00:00:59Z")).is_none());
        assert!(Look::at(&second).lost_node_by(at("2026-01-01T00:01:00Z")).is_some());
    }
}
