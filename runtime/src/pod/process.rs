//! What our two containers have in common as processes.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::log::Log;
use super::places::{JOB_VARIABLE, Places};
use super::say::say;
use crate::course::trouble::Trouble;
use crate::node::attempt::Attempt;
use crate::node::journal::Journal;
use crate::plan::Plan;
use crate::report::{Fault, Note, Outcome, REPORT_VERSION, Report};

/// The job is done.
pub(super) const DONE: u8 = 0;
/// It is not, and the report says why.
pub(super) const FAILED: u8 = 1;
/// The pod is taken down; nothing is said, for whoever does that knows why.
const TERMINATED: u8 = 143;

/// Runs until the work is done or SIGTERM comes.
pub(super) fn run<F: Future<Output = u8>>(work: impl FnOnce() -> F) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot begin: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        // As process 1 we get no signal that is not listened to.
        let mut terminate = match signal(SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(error) => {
                eprintln!("cannot listen to signals: {error}");
                return FAILED;
            }
        };
        tokio::select! {
            biased;
            _ = terminate.recv() => TERMINATED,
            code = work() => code,
        }
    });
    // A transfer that was broken off may hang in a call of the kernel.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ExitCode::from(code)
}

/// Goes on with the journal of the attempt, shown on the log of this container.
pub(super) fn journal(attempt: &Attempt, plan: &Plan) -> Result<Journal, Trouble> {
    let journal = Journal::open(attempt, &plan.job, None);
    let journal = journal.map_err(|error| Trouble::disk("reading what was done", attempt.dir(), &error))?;
    Ok(journal.printed_on(Log::stdout()))
}

/// Reports a trouble that came before there was a journal.
pub(super) async fn fail(places: &Places, plan: Option<&Plan>, trouble: Trouble, user_code_started: bool) -> u8 {
    let now = jiff::Timestamp::now();
    let report = Report {
        version: REPORT_VERSION,
        job: plan.map(|plan| plan.job.clone()).or_else(|| std::env::var(JOB_VARIABLE).ok()).unwrap_or_default(),
        outcome: Outcome::Failed(Fault { class: trouble.class, message: trouble.message.clone(), user_code_started }),
        began: now,
        started: None,
        ended: now,
        steps: Vec::new(),
        outputs: Vec::new(),
        notes: vec![Note { at: now, text: trouble.message }],
        metadata: Default::default(),
    };
    say(places, plan, &Log::stdout(), report).await;
    FAILED
}
