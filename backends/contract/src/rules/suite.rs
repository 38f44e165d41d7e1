//! All of them.

use std::fmt;

use futures::future::BoxFuture;

use super::Ground;

/// One rule, or several that one test shows.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The function's name.
    pub name: &'static str,
    /// Panics where the engine breaks it.
    pub hold: for<'a> fn(&'a dyn Ground) -> BoxFuture<'a, ()>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// `rules!(tests, ground())` makes a test of each rule; the expression answers a future of a ground, or of `None`
/// where the engine is not there. `rules!(table)` is the list of all.
#[macro_export]
macro_rules! rules {
    ($what:ident $(, $ground:expr)?) => {
        $crate::rules! { @$what ($($ground)?)
            files: rule_11_1_places_nest_and_overlap_in_any_way rule_11_1_places_at_the_root_and_of_any_name
                rule_11_2_nothing_of_the_image_is_hidden rule_11_3_volumes_start_empty_and_are_shared_and_writable
                rule_11_4_what_is_named_is_there_and_writable_for_any_user
                rule_11_4_where_the_user_may_not_write_the_fault_names_the_path
                rule_11_5_an_output_directory_is_made_only_where_nothing_covers_its_parent
                rule_11_6_tmp_is_empty_private_and_the_tasks_own rule_11_7_the_images_own_directories_are_writable;
            executors: rule_12_1_and_12_3_and_12_5_failures_stop_or_are_passed_over
                rule_12_2_a_command_is_argv_without_shell_or_entry_point
                rule_12_8_standard_input_that_is_missing_is_the_executors_failure
                rule_12_9_streams_are_emptied_first_share_a_file_and_are_kept_apart
                rule_12_6_a_signal_is_told_and_the_memory_only_when_the_engine_says_so;
            limits: rule_13_2_requests_are_limits_of_the_container
                rule_13_1_a_request_too_small_for_any_container_is_raised
                rule_13_2_who_writes_more_than_the_disk_allowed_is_stopped rule_13_2_inputs_count_as_disk
                rule_13_2_who_stays_below_the_disk_allowed_is_left_alone rule_15_7_what_was_used_is_told;
        }
    };
    (@tests ($ground:expr) $($room:ident: $($rule:ident)+;)+) => {
        $(mod $room {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                if let Some(ground) = $ground.await {
                    $crate::rules::$room::$rule(&ground).await;
                }
            })+
        })+
    };
    (@table () $($room:ident: $($rule:ident)+;)+) => {
        vec![$($($crate::rules::Rule {
            name: stringify!($rule),
            hold: |ground| Box::pin($crate::rules::$room::$rule(ground)),
        }),+),+]
    };
}

/// Every rule, for an engine whose jobs are run side by side.
pub fn all() -> Vec<Rule> {
    rules!(table)
}
