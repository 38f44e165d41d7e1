//! What keeps a pod from going on. What may pass is the answer to "why does it wait?" until its time is over; what
//! cannot pass ends the job at once.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ContainerStatus;
use tessera_runtime::pod::places::{EXECUTOR, STAGE_IN, STAGE_OUT};
use tessera_runtime::report::{Fault, FaultClass};

use super::pod::{self, Look, never_began, terminated, with};
use super::{Judged, Seen, images, told, waits};
use crate::view::PodSeen;

/// Whether a container of a pod cannot go on just now. Since when that is so without a break has to be remembered
/// outside: the cluster does not tell it.
pub(crate) fn in_trouble(pod: &PodSeen) -> bool {
    Look::at(pod).containers().any(|container| hindrance(container).is_some()) || told::lingers(pod)
}

/// What hinders a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hindrance<'a> {
    /// Its image cannot be had.
    Image(&'a str),
    /// It cannot be made.
    Start(&'a str),
    /// Neither can ever be.
    Never(Why, &'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Of its image.
    Image,
    /// Of its start.
    Start,
}

fn hindrance(container: &ContainerStatus) -> Option<Hindrance<'_>> {
    if let Some(end) = terminated(container) {
        return never_began(end).then(|| Hindrance::Never(Why::Start, end.message.as_deref().unwrap_or_default()));
    }
    let waiting = pod::waiting(container)?;
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(match waiting.reason.as_deref()? {
        "InvalidImageName" | "ErrImageNeverPull" => Hindrance::Never(Why::Image, message),
        "ErrImagePull" | "ImagePullBackOff" if images::never_fits(message) => Hindrance::Never(Why::Image, message),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => Hindrance::Image(message),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" if final_start(message) => {
            Hindrance::Never(Why::Start, message)
        }
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "PreStartHookError"
        | "PostStartHookError" => Hindrance::Start(message),
        _ => return None,
    })
}

fn final_start(message: &str) -> bool {
    images::never_fits(message)
        || ["runAsNonRoot", "run as non-root", "no matching entries in passwd"]
            .iter()
            .any(|text| message.contains(text))
}

/// What follows from what the pod waits for, if it does.
pub(super) fn judged(seen: &Seen<'_>, look: &Look<'_>) -> Option<Judged> {
    if look.containers().next().is_none() {
        return Some(unscheduled(look));
    }
    let mut hindered: Vec<(&ContainerStatus, Hindrance<'_>)> =
        look.containers().filter_map(|container| Some((container, hindrance(container)?))).collect();
    hindered.sort_by_key(|(container, _)| order(container));
    let condemned = hindered.iter().find_map(|(container, hindrance)| condemned(seen, look, container, *hindrance));
    if condemned.is_some() {
        return condemned;
    }
    // What nobody needs yet is in nobody's way.
    let needed = |container: &ContainerStatus| match pod::index(container) {
        Some(step) => step == next(look),
        None => true,
    };
    if let Some((container, hindrance)) = hindered.iter().find(|(container, _)| needed(container)) {
        return Some(waits(Some(sentence(seen, container, *hindrance))));
    }
    preparing(look)
}

/// The executor whose turn is next, or which has it.
fn next(look: &Look<'_>) -> u32 {
    let ended = look.executors().filter(|container| terminated(container).is_some());
    ended.filter_map(pod::index).max().map_or(0, |last| last + 1)
}

/// As they go to work.
fn order(container: &ContainerStatus) -> u32 {
    match container.name.as_str() {
        STAGE_IN => 0,
        STAGE_OUT => 1,
        _ => pod::index(container).map_or(u32::MAX, |index| index.saturating_add(2)),
    }
}

fn condemned(seen: &Seen<'_>, look: &Look<'_>, container: &ContainerStatus, what: Hindrance<'_>) -> Option<Judged> {
    let waited = seen.trouble_since.map_or(0, |since| seconds(since, seen.now));
    let over = |patience: std::time::Duration| waited >= patience.as_secs();
    let class = match what {
        Hindrance::Never(Why::Start, message) if order(container) < 2 => images::start_class_of_ours(message),
        Hindrance::Never(Why::Image, _) if order(container) < 2 => FaultClass::Misconfigured,
        Hindrance::Never(Why::Image, _) => FaultClass::Rejected,
        Hindrance::Never(Why::Start, message) => images::start_class(message),
        Hindrance::Image(message) if over(seen.patience.image) => images::pull_class(message, seen.patience.logins),
        Hindrance::Start(message) if over(seen.patience.start) => images::start_class(message),
        Hindrance::Image(_) | Hindrance::Start(_) => return None,
    };
    let mut message = sentence(seen, container, what);
    if matches!(what, Hindrance::Image(_) | Hindrance::Start(_)) {
        message.push_str(&format!(" (tried for {waited} s)"));
    }
    let running = look.executors().find(|other| look.running(&other.name).is_some());
    if let Some(running) = running.filter(|_| container.name.starts_with(EXECUTOR)) {
        message.push_str(&format!(
            "; {} was running, and executor {} could never follow",
            running.name,
            order(container) - 2
        ));
    }
    Some(Judged::Condemn(Fault { class, message, user_code_started: look.user_code_started() }))
}

fn sentence(seen: &Seen<'_>, container: &ContainerStatus, what: Hindrance<'_>) -> String {
    let image = container.image.as_str();
    match what {
        Hindrance::Image(message) | Hindrance::Never(Why::Image, message) => {
            images::pulling(seen.backend, image, message)
        }
        Hindrance::Start(message) | Hindrance::Never(Why::Start, message) => {
            images::starting(seen.backend, image, message)
        }
    }
}

/// It has no node yet, or its node has not looked at it.
fn unscheduled(look: &Look<'_>) -> Judged {
    let condition = look.condition("PodScheduled").filter(|condition| condition.status == "False");
    let words = condition.and_then(|condition| {
        let message = condition.message.as_deref().unwrap_or_default();
        Some(match condition.reason.as_deref()? {
            // What pods of others could make room for it is no reason why it waits, and long.
            "Unschedulable" => {
                let message = message.split_once(" preemption: ").map_or(message, |(why, _)| why);
                with("no node can take the pod".to_owned(), message)
            }
            "SchedulingGated" => with("the pod is held back from the scheduler".to_owned(), message),
            other => with(format!("the pod is not given to a node ({other})"), message),
        })
    });
    waits(words)
}

/// A node gets ready what comes next, if it does.
fn preparing(look: &Look<'_>) -> Option<Judged> {
    let coming = [STAGE_IN.to_owned(), STAGE_OUT.to_owned(), format!("{EXECUTOR}0")];
    for name in coming {
        let container = look.container(&name)?;
        match container.state.as_ref() {
            Some(state) if state.running.is_some() && name == STAGE_IN => return None,
            Some(state) if state.running.is_some() || state.terminated.is_some() => {}
            Some(_) | None => {
                return Some(waits(Some(format!("{} gets image `{}` ready", look.node(), container.image))));
            }
        }
    }
    None
}

fn seconds(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0)
}
