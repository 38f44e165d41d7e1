//! Each invariant is seen to fail when the rule that it guards is taken out: here by a store or a backend that breaks a
//! promise. Rules of the engine and of the machine are taken out of their code by `cargo xtask mutations simulation`.

use tessera::store::memory::Flaw;

use crate::ending::run;
use crate::invariants::Invariant;
use crate::network::Lie;
use crate::seeds::{ALONE, SHARED, SLOW};
use crate::world::Kind;

/// Seeds in which it must be noticed.
const SEEDS: u64 = 200;

#[track_caller]
fn notices(kind: Kind, invariant: Invariant) {
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        let Some(broken) = run(kind, seed, false).broken else { continue };
        if broken.invariant == invariant {
            println!("{kind:?}, seed {seed}: BROKEN: {invariant}");
            return;
        }
        others.push(broken.invariant);
    }
    panic!("{SEEDS} seeds of {kind:?} did not show that it matters to `{invariant}`, but {others:?}");
}

fn without(kind: Kind, flaw: Flaw) -> Kind {
    Kind { flaw: Some(flaw), ..kind }
}

#[test]
fn nothing_is_lost_needs_a_store_that_writes_what_it_acknowledges() {
    notices(without(ALONE, Flaw::ForgetsCreations), Invariant::NothingIsLost);
}

#[test]
fn terminal_stands_needs_the_machine() {
    notices(without(SHARED, Flaw::MovesWhatHasEnded), Invariant::TerminalStands);
}

#[test]
fn one_live_job_needs_a_backend_that_knows_its_jobs() {
    notices(Kind { lie: Some(Lie::ForgetsItsJobs), ..ALONE }, Invariant::OneLiveJob);
}

#[test]
fn steps_once_needs_the_memory_of_where_a_task_was_claimed() {
    notices(without(ALONE, Flaw::ForgetsWhereItWasClaimed), Invariant::StepsOnce);
}

#[test]
fn cancel_wins_needs_a_cancel_that_is_written() {
    notices(without(SHARED, Flaw::ForgetsCancels), Invariant::CancelWins);
}

#[test]
fn canceled_is_gone_needs_a_backend_that_stops_what_it_says_it_has_stopped() {
    notices(Kind { lie: Some(Lie::StopsNothing), ..ALONE }, Invariant::CanceledIsGone);
}

/// What a server does that stands still between its last look and its request: nobody can forbid it, and it is seen.
#[test]
fn callers_are_careful_needs_submits_that_arrive_while_their_claim_lasts() {
    notices(Kind { lie: Some(Lie::SubmitsLate), ..SHARED }, Invariant::CallersAreCareful);
}

#[test]
fn tasks_end_needs_claims_that_expire() {
    notices(without(ALONE, Flaw::HidesExpiredClaims), Invariant::TasksEnd);
}

#[test]
fn a_legal_history_needs_state_and_event_written_together() {
    notices(without(ALONE, Flaw::WritesStatesAlone), Invariant::HistoryIsLegal);
}

#[test]
fn numbers_rise_needs_a_number_for_each_change() {
    notices(without(SHARED, Flaw::GivesANumberTwice), Invariant::NumbersRise);
}

#[test]
fn old_fences_are_refused_needs_a_store_that_fences() {
    notices(without(SLOW, Flaw::TakesOldFences), Invariant::OldFencesAreRefused);
}

#[test]
fn claims_are_exclusive_needs_a_store_that_gives_each_once() {
    notices(without(SHARED, Flaw::SharesClaims), Invariant::ClaimsAreExclusive);
}

#[test]
fn nothing_is_left_needs_the_memory_of_what_is_over() {
    notices(without(ALONE, Flaw::ForgetsWhatIsLeft), Invariant::NothingIsLeft);
}
