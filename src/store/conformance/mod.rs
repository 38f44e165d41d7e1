//! The promises of a store as a suite that every store must pass.
//!
//! A store joins with a [`Subject`] and one line, `conformance!(subject)`, in its tests: each promise becomes a test.
//! Moments are arguments everywhere, so nothing here sleeps.
//!
//! Parts, in reading order:
//! - [`samples`]: tasks, events, and how a task is brought into a phase;
//! - [`durability`]: what was answered is there after a kill;
//! - [`isolation`]: a caller sees only tasks of its owner;
//! - [`listing`]: filters against a model, pages against new arrivals;
//! - [`claims`]: expiry, fences, holders;
//! - [`recording`]: what becomes of events;
//! - [`canceling`]: a cancel in each state;
//! - [`queue`]: what the engine reads;
//! - [`changes`]: what is told as it happens;
//! - [`keys`]: a creation that has a name;
//! - [`retention`]: the end of tasks that are kept no longer;
//! - [`replicas`]: several servers on one store;
//! - [`hostile`]: texts that break what is put together by hand.

#![allow(clippy::unwrap_used)]

pub(crate) mod canceling;
pub(crate) mod changes;
pub(crate) mod claims;
pub(crate) mod durability;
pub(crate) mod hostile;
pub(crate) mod isolation;
pub(crate) mod keys;
pub(crate) mod listing;
pub(crate) mod queue;
pub(crate) mod recording;
pub(crate) mod replicas;
pub(crate) mod retention;
pub(crate) mod samples;

use async_trait::async_trait;

use super::Store;

/// A kind of store under test.
#[async_trait]
pub(crate) trait Subject: Sync {
    /// The store.
    type Store: Store;

    /// An empty store that no other test knows.
    async fn fresh(&self) -> Self::Store;

    /// What a new server finds after the store's server was killed without a chance to finish anything.
    async fn after_a_kill(&self, store: Self::Store) -> Self::Store;
}

/// Makes a test of each promise for the subject, with more attributes if there are any.
macro_rules! conformance {
    ($subject:expr $(, $attribute:meta)*) => {
        conformance! { @rooms $subject, [$(#[$attribute])*];
            durability: creation cancel claims records forgetting;
            isolation: rule_17_3_three_owners_and_every_verb;
            listing: rule_8_7_filters_agree_with_a_model rule_8_4_prefixes_are_literal rule_8_6_tags_as_the_contract_says
                rule_8_1_pages_partition_the_list rule_8_1_pages_stand_while_tasks_arrive
                rule_8_3_the_last_page_has_no_next;
            claims: a_claim_is_exclusive_until_it_expires fences_rise_for_ever two_claimers_never_both_win
                only_what_waits_is_claimed a_postponed_task_waits_for_its_time answers_in_the_order_asked;
            recording: the_life_of_a_task rule_14_2_an_older_claim_is_fenced repeats_change_nothing
                rule_14_1_and_14_2_late_words_change_nothing rule_14_2_nonsense_is_refused_and_spares_its_neighbours
                nobody_is_unknown sentences_are_kept_until_the_end rule_15_1_a_retry_is_a_new_attempt
                what_is_over_leaves_something_behind a_claim_is_no_event many_writers_lose_nothing;
            canceling: rule_14_4_and_14_5_in_every_phase twice rule_14_6_before_the_hand_over_is_known
                rule_14_6_while_a_claim_has_expired;
            queue: oldest_first_after_a_cursor many_that_fit_nowhere_hide_nobody candidates_say_what_they_need
                load_is_what_was_claimed active_is_what_may_be_outside standing_whoever_owns_it
                the_queue_is_everybodys_and_told_to_owners places_in_the_queue_are_counted check_says_yes;
            changes: every_change_of_phase_is_told_once_and_in_order what_was_seen_is_not_seen_again
                the_bell_rings_after_the_commit the_oldest_go_in_small_steps_and_the_newest_stays
                how_far_a_target_was_told_is_remembered;
            retention: only_what_has_ended_and_left_nothing_behind_goes the_age_is_that_of_the_end the_newest_are_kept
                owners_are_named_in_order_and_spared with_a_task_goes_all_that_was_its_own
                pages_go_on_behind_what_is_gone;
            keys: the_same_name_and_task_find_the_first many_at_once_make_one_task;
            replicas: what_a_server_says_of_itself_is_what_others_hear a_name_is_one_servers_until_its_lease_is_over
                a_later_run_on_the_same_seat_takes_the_name_at_once who_leaves_is_away_from_then_on
                what_a_former_run_on_the_seat_claimed_is_to_be_had_at_once
                who_is_away_for_a_month_is_forgotten what_is_taken_over_has_a_new_holder_and_a_higher_fence
                only_what_is_as_it_was_said_is_taken_over a_lease_is_ones_until_it_is_over
                the_keeper_is_who_claimed_last several_servers_stay_below_one_ceiling;
            hostile: texts_come_back_as_they_were texts_find_what_they_name long_contents the_edges_of_time;
        }
    };
    (@rooms $subject:expr, $attributes:tt; $($room:ident: $($promise:ident)+;)+) => {
        $(mod $room {
            use super::*;
            $(conformance! { @promise $subject, $attributes, $room, $promise })+
        })+
    };
    (@promise $subject:expr, [$($attribute:tt)*], $room:ident, $promise:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $promise() {
            crate::store::conformance::$room::$promise(&$subject).await;
        }
    };
}
pub(crate) use conformance;
