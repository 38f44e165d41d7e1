//! Why a Job has no pod: refusals stand only in its events.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use tessera_runtime::report::{Fault, FaultClass};

use super::{Judged, Seen, waits};

/// The newest refusal of a Job's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The cluster's words.
    pub(crate) message: String,
    /// Since when we know, by our own clock.
    pub(crate) since: Timestamp,
}

impl Refusal {
    /// An event of a Job, if it tells of a pod that was refused (`FailedCreate`); `since` when we know of that.
    pub(crate) fn of(event: &Event, since: Timestamp) -> Option<Self> {
        let refused = event.reason.as_deref() == Some("FailedCreate");
        refused.then(|| Some(Self { message: event.message.clone()?, since }))?
    }

    /// What it means for the job.
    pub(super) fn judged(&self, seen: &Seen<'_>) -> Judged {
        let words = self.message.split_once("is forbidden: ").map_or(self.message.as_str(), |(_, words)| words);
        let words = without_use(words);
        let fault = |class, message| Judged::Condemn(Fault { class, message, user_code_started: false });
        let sentence = format!("backend `{}` was refused a pod: {words}", seen.backend);
        let waited = Duration::try_from(seen.now.duration_since(self.since)).unwrap_or_default();
        match kind(&self.message) {
            Kind::Final(class) => fault(class, sentence),
            Kind::Passing if waited < seen.patience.refused => waits(Some(sentence)),
            Kind::Passing => fault(FaultClass::Unavailable, format!("{sentence} (for {} s)", waited.as_secs())),
        }
    }
}

/// What others use of a quota changes all the time: what is asked for and what there is says enough.
fn without_use(words: &str) -> Cow<'_, str> {
    let parts = words.split_once(", used: ").and_then(|(head, rest)| Some((head, rest.split_once(", limited: ")?.1)));
    parts.map_or(Cow::Borrowed(words), |(head, limited)| format!("{head}, limited: {limited}").into())
}

enum Kind {
    /// It will be refused again.
    Final(FaultClass),
    /// It may pass: others end, somebody repairs what does not answer.
    Passing,
}

fn kind(message: &str) -> Kind {
    let words = message.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|text| words.contains(text));
    if says(&["must specify limits", "must specify requests", "must specify cpu", "must specify memory"]) {
        // A quota that wants what this backend was not told to ask for.
        Kind::Final(FaultClass::Misconfigured)
    } else if says(&["exceeded quota", "failed calling webhook", "timeout", "connection refused", "too many requests"])
    {
        Kind::Passing
    } else if says(&["maximum cpu usage", "maximum memory usage", "minimum cpu usage", "minimum memory usage"])
        || says(&["usage per container", "usage per pod", "invalid value", "is invalid"])
    {
        Kind::Final(FaultClass::Rejected)
    } else if says(&["violates podsecurity", "denied the request", "serviceaccount", "service account"])
        || says(&["priorityclass", "priority class", "runtimeclass", "is forbidden"])
    {
        Kind::Final(FaultClass::Misconfigured)
    } else {
        Kind::Passing
    }
}
