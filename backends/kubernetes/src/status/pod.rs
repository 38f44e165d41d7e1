//! What a pod's status tells.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, PodCondition};
use tessera_runtime::pod::places::{EXECUTOR, STAGE_IN, STAGE_OUT};

use crate::view::PodSeen;

/// How long the kubelet of a pod that is deleted because of its node is given to say that its containers are gone.
const NODE_TAKES: SignedDuration = SignedDuration::from_secs(60);

/// A look at one pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pod: &'a PodSeen,
}

impl<'a> Look<'a> {
    /// At this one.
    pub(crate) fn at(pod: &'a PodSeen) -> Self {
        Self { pod }
    }

    pub(crate) fn pod(&self) -> &'a PodSeen {
        self.pod
    }

    pub(crate) fn name(&self) -> &'a str {
        &self.pod.name
    }

    /// The node's name in a sentence.
    pub(crate) fn node(&self) -> String {
        self.pod.node.as_ref().map_or_else(|| "its node".to_owned(), |node| format!("node `{node}`"))
    }

    /// What the cluster says of the pod as a whole, if it does: a word and a sentence.
    pub(crate) fn reason(&self) -> Option<(&'a str, &'a str)> {
        let message = self.pod.status.message.as_deref().unwrap_or_default();
        self.pod.status.reason.as_deref().map(|reason| (reason, message))
    }

    fn phase(&self) -> &'a str {
        self.pod.status.phase.as_deref().unwrap_or("Pending")
    }

    /// All containers, ours first.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &'a ContainerStatus> {
        let status = &self.pod.status;
        status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
    }

    pub(crate) fn container(&self, name: &str) -> Option<&'a ContainerStatus> {
        self.containers().find(|container| container.name == name)
    }

    /// The containers of the task, in no order.
    pub(crate) fn executors(&self) -> impl Iterator<Item = &'a ContainerStatus> {
        self.containers().filter(|container| container.name.starts_with(EXECUTOR))
    }

    pub(crate) fn executor(&self, step: u32) -> Option<&'a ContainerStatus> {
        self.executors().find(|container| index(container) == Some(step))
    }

    /// Since when a container runs, if it does.
    pub(crate) fn running(&self, name: &str) -> Option<Timestamp> {
        running(self.container(name)?)
    }

    /// Whether a container of the task may be running.
    pub(crate) fn executor_runs(&self) -> bool {
        !self.pod.gone && self.executors().any(|container| running(container).is_some())
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<&'a PodCondition> {
        self.pod.status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
    }

    /// Why the cluster takes the pod away, if it does: a word and a sentence.
    pub(crate) fn disruption(&self) -> Option<(&'a str, &'a str)> {
        let condition = self.condition("DisruptionTarget").filter(|condition| condition.status == "True")?;
        Some((condition.reason.as_deref()?, condition.message.as_deref().unwrap_or_default()))
    }

    /// Nothing of it runs, and nothing will.
    pub(crate) fn is_over(&self) -> bool {
        self.pod.gone || matches!(self.phase(), "Succeeded" | "Failed")
    }

    pub(crate) fn is_live(&self) -> bool {
        !self.is_over()
    }

    /// It went without a word about how.
    pub(crate) fn vanished(&self) -> bool {
        let ended = || self.containers().any(|container| terminated(container).is_some_and(|end| end.exit_code != 0));
        self.pod.gone && self.phase() != "Failed" && self.disruption().is_none() && self.reason().is_none() && !ended()
    }

    /// What says that the node is lost, as of a moment.
    pub(crate) fn lost_node_by(&self, now: Timestamp) -> Option<String> {
        if let Some(("NodeLost", message)) = self.reason() {
            return Some(with(format!("{} is lost", self.node()), message));
        }
        let condition = self.condition("DisruptionTarget").filter(|condition| condition.status == "True")?;
        let since = condition.last_transition_time.as_ref().map_or(self.pod.created, |time| time.0);
        let node = condition.reason.as_deref() == Some("DeletionByTaintManager");
        let late = self.is_over() || now.duration_since(since) >= NODE_TAKES;
        (node && late).then(|| {
            with(format!("{} is lost or drained", self.node()), condition.message.as_deref().unwrap_or_default())
        })
    }

    /// The same, whenever.
    pub(crate) fn lost_node(&self) -> Option<String> {
        self.lost_node_by(Timestamp::MAX)
    }

    /// Whether a command of the task may have run. Exact as far as the status can be.
    pub(crate) fn user_code_started(&self) -> bool {
        let Some(first) = self.executor(0) else {
            let initialized = self.condition("Initialized").is_some_and(|condition| condition.status == "True");
            return initialized || !matches!(self.phase(), "Pending" | "Failed");
        };
        // One that went in the middle of something may have gone further than was seen.
        let cut_short = self.pod.gone && self.phase() == "Running";
        match terminated(first) {
            Some(end) => !never_began(end),
            None => running(first).is_some() || first.restart_count > 0 || cut_short,
        }
    }

    /// When our own work on the job began.
    pub(crate) fn began(&self) -> Timestamp {
        self.container(STAGE_IN).and_then(started).unwrap_or(self.pod.created)
    }

    /// When the first command was started, as far as the cluster knows.
    pub(crate) fn command_started(&self) -> Option<Timestamp> {
        let first = self.executor(0)?;
        // Its turn is given by stage-out.
        self.container(STAGE_OUT).and_then(started)?;
        started(first)
    }

    /// When the last container had ended.
    pub(crate) fn ended(&self) -> Option<Timestamp> {
        let ends = self.containers().filter_map(terminated).filter_map(|end| Some(end.finished_at.as_ref()?.0));
        ends.max()
    }
}

/// The index of an executor's container.
pub(crate) fn index(container: &ContainerStatus) -> Option<u32> {
    container.name.strip_prefix(EXECUTOR)?.parse().ok()
}

pub(crate) fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

pub(crate) fn waiting(container: &ContainerStatus) -> Option<&ContainerStateWaiting> {
    container.state.as_ref()?.waiting.as_ref()
}

fn running(container: &ContainerStatus) -> Option<Timestamp> {
    let running = container.state.as_ref()?.running.as_ref()?;
    Some(running.started_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

fn started(container: &ContainerStatus) -> Option<Timestamp> {
    let ended = || terminated(container).filter(|end| !never_began(end))?.started_at.as_ref().map(|time| time.0);
    running(container).or_else(ended).filter(|at| *at > Timestamp::UNIX_EPOCH)
}

/// It ended before anything in it could be started.
pub(crate) fn never_began(end: &ContainerStateTerminated) -> bool {
    matches!(end.reason.as_deref(), Some("StartError" | "ContainerCannotRun" | "CreateContainerError"))
}

/// A sentence, and what the cluster says.
pub(crate) fn with(sentence: String, message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    if message.is_empty() { sentence } else { format!("{sentence}: {message}") }
}
