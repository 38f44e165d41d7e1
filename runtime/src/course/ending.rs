//! How an attempt ends: outputs delivered, an outcome said.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::patience::shown;
use crate::doing::Work;
use crate::node::journal::Journal;
use crate::plan::{Limits, Plan};
use crate::report::{DeliveredFile, Fault, FaultClass, Outcome};
use crate::stage;
use crate::storage::moved::Moved;
use crate::storage::storages::Storages;
use crate::storage::trouble::Patience;
use crate::tree::Tree;

/// What the work came to.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) outputs: Vec<DeliveredFile>,
}

impl End {
    /// An end that would be the same again.
    pub(crate) fn rejected(message: String, user_code_started: bool) -> Self {
        let fault = Fault { class: FaultClass::Rejected, message, user_code_started };
        Self { outcome: Outcome::Failed(fault), outputs: Vec::new() }
    }
}

/// The storages of a plan, and where it is counted what is moved with them.
pub(crate) fn storages(plan: &Plan, patience: Patience) -> (Storages, Arc<Moved>) {
    let moved = Arc::<Moved>::default();
    (Storages::new(&plan.storage, patience).counted_in(Arc::clone(&moved)), moved)
}

/// Delivers what there is to deliver. `failed` is the executor after which no other ran, with its exit code.
pub(crate) async fn deliver(plan: &Plan, tree: &Tree, journal: &Journal, failed: Option<(u32, i32)>) -> End {
    let (mut outcome, mut outputs) = (Outcome::Complete, Vec::new());
    if !plan.outputs.is_empty() {
        let (storages, moved) = storages(plan, Patience::UPLOAD);
        let deliver = stage::deliver_to(plan, tree, failed.is_some(), Patience::UPLOAD, &storages);
        let delivered = shown(journal, || Work::delivering(moved.look()), deliver).await;
        for note in delivered.notes {
            journal.note(note);
        }
        if let (Some(fault), None) = (delivered.fault, failed) {
            journal.note(fault.message.clone());
            outcome = Outcome::Failed(Fault { user_code_started: true, ..fault });
        }
        outputs = delivered.files;
    }
    if let Some((step, code)) = failed {
        journal.note(format!("executor {step} ended with exit code {code}"));
        outcome = Outcome::ExecutorFailed { step };
    }
    End { outcome, outputs }
}

/// What is left of the wall time, once it runs.
pub(crate) fn time_left(limits: &Limits, started: Option<Timestamp>) -> Option<Duration> {
    let whole = SignedDuration::from_millis(i64::try_from(limits.walltime_ms?).ok()?);
    let used = Timestamp::now().duration_since(started?);
    Some(whole.saturating_sub(used).try_into().unwrap_or(Duration::ZERO))
}

/// The wall time is over, and what ran was stopped.
pub(crate) fn out_of_time(limits: &Limits, journal: &Journal) -> End {
    let limit = Duration::from_millis(limits.walltime_ms.unwrap_or_default());
    let message = format!("the walltime of {} s is over; what still ran was stopped", limit.as_secs_f64());
    journal.note(message.clone());
    End::rejected(message, true)
}
