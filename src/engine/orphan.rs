//! Whether a job that is outside is still wanted. Pure.

use tessera_contract::{Handle, JobId};

use crate::store::Standing;

/// Whether a task still wants this job. A job whose id is not of our making is left alone.
pub fn is_wanted(job: &JobId, handle: &Handle, standing: &Standing) -> bool {
    let Some((_, attempt)) = job.attempt() else { return true };
    let active = match standing {
        Standing::At(active) => active,
        Standing::Unreadable => return true,
        Standing::Unknown => return false,
    };
    let Some(current) = active.state.attempt() else { return false };
    if attempt != current {
        // One of an attempt to come, after a store was put back to an older state, will be found by its attempt.
        return attempt > current;
    }
    // Not compared by backend: two that are configured for one engine see the same jobs. A job that has no handle yet
    // will be found when it is handed over again.
    active.state.job().is_none_or(|known| known.handle == handle.0)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::{Active, Claim, Fence, Holder};
    use crate::task::{JobRef, Seen, TaskId, TaskState};

    fn active(state: TaskState, claimed_for: Option<&str>) -> Standing {
        let claim = claimed_for.map(|backend| Claim {
            fence: Fence(1),
            holder: Holder("a".to_owned()),
            backend: backend.to_owned(),
            until: Timestamp::UNIX_EPOCH,
        });
        Standing::At(Active { task: TaskId::new(Timestamp::UNIX_EPOCH), state, claim })
    }

    fn running(attempt: u32, backend: &str, handle: &str) -> TaskState {
        let job = JobRef { backend: backend.to_owned(), handle: handle.to_owned() };
        TaskState::Running { attempt, job, seen: Seen::default() }
    }

    fn queued(attempt: u32, claimed: bool) -> TaskState {
        TaskState::Queued { attempt, claimed, not_before: None, refusals: 0 }
    }

    #[test]
    fn only_the_job_of_the_attempt_in_hand_is_wanted() {
        let rows = [
            (Standing::Unknown, false),
            (Standing::Unreadable, true),
            (active(TaskState::Complete, None), false),
            (active(TaskState::Canceled, None), false),
            (active(running(2, "here", "h"), Some("here")), true),
            (active(running(2, "here", "other"), Some("here")), false),
            (active(running(2, "there", "h"), Some("there")), true),
            (active(running(3, "here", "h"), Some("here")), false),
            (active(running(1, "here", "h"), Some("here")), true),
            (active(queued(2, true), Some("here")), true),
            (active(queued(2, false), None), true),
            (active(queued(3, false), None), false),
        ];
        for (standing, wanted) in rows {
            let job = JobId::of_attempt("task", 2);
            assert_eq!(is_wanted(&job, &Handle("h".to_owned()), &standing), wanted, "{standing:?}");
        }
    }

    #[test]
    fn what_is_not_of_our_making_is_left_alone() {
        let strange = JobId::parse("strange").unwrap_or_else(|| JobId::of_attempt("t", 1));
        assert!(is_wanted(&strange, &Handle("h".to_owned()), &Standing::Unknown));
    }
}
