//! All of them.

use std::fmt;

use anyhow::Result;
use futures::future::BoxFuture;

use super::Subject;
use super::{cancelling, inventory, logging, naming, observing, releasing, submitting};

/// One promise.
#[derive(Clone, Copy)]
pub struct Promise {
    /// The function's name, with its room.
    pub name: &'static str,
    /// Says how the backend breaks it.
    pub hold: for<'a> fn(&'a dyn Subject) -> BoxFuture<'a, Result<()>>,
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every promise, for a backend whose jobs are run side by side: each with a subject of its own.
pub fn promises() -> Vec<Promise> {
    macro_rules! table {
        ($($promise:path),* $(,)?) => {
            vec![$(Promise { name: stringify!($promise), hold: |subject| Box::pin($promise(subject)) }),*]
        };
    }
    table![
        submitting::twice_finds_the_first,
        submitting::at_once_starts_one,
        submitting::death_after_submit_starts_one,
        submitting::a_job_outlives_the_server,
        submitting::a_taken_job_is_in_the_inventory,
        observing::a_good_job_ends_complete,
        observing::a_failing_step_ends_the_job,
        observing::progress_is_told,
        observing::many_at_once_one_unreadable,
        observing::none_asked_none_answered,
        observing::a_vanished_job_is_lost,
        cancelling::a_running_job_is_stopped,
        cancelling::a_starting_job_is_stopped,
        cancelling::before_the_start_it_never_starts,
        cancelling::a_cancelled_job_is_not_started_again,
        cancelling::a_stop_survives_the_server,
        cancelling::twice_is_once,
        cancelling::an_ended_job_keeps_its_report,
        cancelling::a_job_that_is_gone_counts_as_stopped,
        logging::read_while_running_and_after,
        logging::the_log_of_a_step_that_ended_ends,
        logging::a_short_text_is_told_whole_by_the_report,
        logging::a_step_that_never_started_has_an_empty_log,
        logging::the_log_of_a_job_that_is_gone_is_no_end,
        logging::a_job_that_is_withdrawn_tells_all_or_is_gone,
        releasing::release_leaves_nothing_and_may_be_repeated,
        releasing::a_neighbour_is_left_alone,
        inventory::orphans_are_found_page_by_page,
        inventory::other_installations_are_neither_seen_nor_touched,
        inventory::a_check_tells,
        inventory::the_profile_is_usable,
        naming::hostile_text_passes_unchanged,
        naming::a_long_text_is_never_cut,
    ]
}

/// Holds a backend to every promise, one after another. The error lists each broken one by name.
pub async fn all(subject: &dyn Subject) -> Result<()> {
    let mut broken = Vec::new();
    for promise in promises() {
        if let Err(error) = (promise.hold)(subject).await {
            broken.push(format!("- {}: {error:#}", promise.name));
        }
    }
    anyhow::ensure!(broken.is_empty(), "{} promises are broken:\n{}", broken.len(), broken.join("\n"));
    Ok(())
}
