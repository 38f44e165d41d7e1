//! Many seeds, or one that is named.

use std::time::{Duration, Instant};

use tessera::store::memory::Semantics;

use crate::ending::run;
use crate::tally::Tally;
use crate::world::Kind;

/// Steps of a plain `cargo test`: a few seconds.
const STEPS: u64 = 100_000;

pub(crate) const ALONE: Kind = Kind { semantics: Semantics::Alone, flaw: None, lie: None, slow_store: false };
pub(crate) const SHARED: Kind = Kind { semantics: Semantics::Shared, flaw: None, lie: None, slow_store: false };

/// Several servers on a slow store: who has lost a task hears of it late.
pub(crate) const SLOW: Kind = Kind { slow_store: true, ..SHARED };

fn word(kind: Kind) -> &'static str {
    match kind.semantics {
        Semantics::Alone => "alone",
        Semantics::Shared if kind.slow_store => "slow",
        Semantics::Shared => "shared",
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The story of a seed that fails; `None` when it does not.
pub(crate) fn story(kind: Kind, seed: u64) -> Option<String> {
    let broken = run(kind, seed, false).broken?;
    // Nothing was written down the first time.
    let told = run(kind, seed, true).story;
    let (word, task) = (word(kind), broken.task.as_ref());
    let of = task.map_or_else(|| "all tasks".to_owned(), |task| format!("task {task}"));
    Some(format!(
        "\nBROKEN: {}\n  {of}: {}\n  seed {word}:{seed}; to see it again:\n  \
         TESSERA_SIMULATION_SEED={word}:{seed} cargo test -p tessera --test simulation seeds -- --nocapture\n\n\
         What concerns {of} ({} lines in all):\n{}",
        broken.invariant,
        broken.what,
        told.length(),
        told.of(task),
    ))
}

/// Runs seeds of all kinds in turn until there were enough steps; panics with the story of the first that fails, or
/// of the first that breaks the invariant that is sought.
fn run_seeds(from: u64, sought: Option<&str>, is_enough: impl Fn(&Tally, Duration) -> bool) {
    let began = Instant::now();
    let mut tally = Tally::default();
    for seed in from.. {
        for kind in [ALONE, SHARED, SLOW] {
            let ended = run(kind, seed, false);
            tally.add(&ended.tally);
            if ended.broken.is_some_and(|broken| sought.is_none_or(|sought| broken.invariant.to_string() == sought)) {
                panic!(
                    "{}",
                    story(kind, seed).unwrap_or_else(|| "a seed that failed once does not fail again".to_owned())
                );
            }
        }
        if is_enough(&tally, began.elapsed()) {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{tally}{seconds:.1} s, {:.0} steps/s", tally.steps as f64 / seconds);
    let never = tally.never();
    // Few seeds need not see all of it.
    assert!(tally.steps < STEPS || never.is_empty(), "a simulation in which this never happens is none: {never:?}");
}

#[test]
fn seeds() {
    if let Some(named) = variable("TESSERA_SIMULATION_SEED") {
        let (kind, seed) = named.split_once(':').unwrap_or(("alone", &named));
        let known = [ALONE, SHARED, SLOW].into_iter().find(|one| word(*one) == kind);
        let (kind, seed) = known.zip(seed.parse().ok()).expect("it is `alone:N`, `shared:N` or `slow:N`");
        if let Some(story) = story(kind, seed) {
            panic!("{story}");
        }
        println!("nothing is broken: {}", run(kind, seed, false).tally);
        return;
    }
    let number = |name: &str| variable(name).map(|value| value.parse::<u64>().expect("a number"));
    let steps = number("TESSERA_SIMULATION_STEPS").unwrap_or(STEPS);
    let minutes = number("TESSERA_SIMULATION_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let (from, sought) = (number("TESSERA_SIMULATION_FROM").unwrap_or(0), variable("TESSERA_SIMULATION_SEEKS"));
    run_seeds(from, sought.as_deref(), |tally, time| match minutes {
        Some(minutes) => time >= minutes,
        None => tally.steps >= steps,
    });
}

#[test]
fn a_seed_is_the_same_world_each_time() {
    for kind in [ALONE, SHARED] {
        let (once, again, told) = (run(kind, 7, false), run(kind, 7, false), run(kind, 7, true));
        assert_eq!((once.trace, &once.tally), (again.trace, &again.tally));
        assert_eq!((once.trace, &once.tally), (told.trace, &told.tally), "also when it is told");
        assert!(told.story.length() > 100);
    }
}
