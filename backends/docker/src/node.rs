//! Starting nodes: the first time, and again when one has died without a report.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tessera_contract::Bell;
use tessera_runtime::node::attempt::{self, Attempt, Keep};
use tessera_runtime::node::lock::Lock;
use tessera_runtime::step;

/// Starts a node with the lock in its hand. The child leads a group of its own, so what stops this server does
/// not stop it; its end rings the bell.
pub(crate) fn start(runtime: &Path, attempt: &Attempt, lock: Lock, bell: &Bell) -> io::Result<()> {
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(attempt.file(attempt::NODE_LOG))?;
    let mut child = tokio::process::Command::new(runtime)
        .arg("node")
        .arg(attempt.dir())
        .stdin(Stdio::from(lock.into_file()))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .current_dir("/")
        .process_group(0)
        .spawn()?;
    let bell = bell.clone();
    tokio::spawn(async move {
        // Only so that no dead child is left standing; what it did is read from its files.
        let _ = child.wait().await;
        bell.ring();
    });
    Ok(())
}

/// How often a node was started again, and since when it got nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Starts {
    /// Starts without anything done.
    in_vain: u32,
    /// The last one.
    last: Option<Timestamp>,
    /// The most that had been done by then.
    done: u32,
}

/// What to do about a node that has died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start it again, and remember this.
    Start(Starts),
    /// Wait so long first.
    Wait(Duration),
    /// It will never get anywhere.
    GiveUp,
}

impl Starts {
    /// The server's count for an attempt.
    pub(crate) fn of(attempt: &Attempt) -> io::Result<Self> {
        Ok(attempt.read_light(attempt::STARTS)?.unwrap_or_default())
    }

    /// Remembers it.
    pub(crate) fn keep(&self, attempt: &Attempt) -> io::Result<()> {
        attempt.replace(attempt::STARTS, self, Keep::Lightly)
    }

    /// What to do next: at once the first time, then ever more slowly, until `bound` starts led nowhere.
    pub(crate) fn next(&self, done: u32, now: Timestamp, bound: u32) -> Next {
        // Less than before is no step forward: a node that takes its own marks back gets nowhere either.
        let in_vain = if done > self.done { 0 } else { self.in_vain };
        if in_vain >= bound {
            return Next::GiveUp;
        }
        let pause = match in_vain {
            0 => SignedDuration::ZERO,
            more => SignedDuration::from_millis(250 << more.min(6)),
        };
        let waited = self.last.map_or(SignedDuration::MAX, |last| now.duration_since(last));
        match Duration::try_from(pause.saturating_sub(waited)) {
            // A clock that was set back must not hold a job up for long.
            Ok(left) if !left.is_zero() => Next::Wait(left.min(Duration::from_secs(16))),
            Ok(_) | Err(_) => Next::Start(Self { in_vain: in_vain + 1, last: Some(now), done: done.max(self.done) }),
        }
    }
}

/// How much of an attempt is done: a number that grows with every step that starts or ends.
pub(crate) fn done(attempt: &Attempt, steps: u32) -> u32 {
    let there = |path: &Path| u32::from(path.symlink_metadata().is_ok());
    let of_steps: u32 = (0..steps)
        .map(|n| attempt.step(n))
        .map(|dir| there(&dir) + there(&dir.join(step::MARK)) + there(&dir.join(step::RECORD)))
        .sum();
    of_steps + there(&attempt.file(attempt::STAGED)) + there(&attempt.file(attempt::CANCEL))
}

/// The end of what a node wrote, for a sentence about its death.
pub(crate) fn last_words(attempt: &Attempt) -> String {
    let log = std::fs::read(attempt.file(attempt::NODE_LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    text.lines().next_back().unwrap_or("it said nothing").chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn started(next: Next) -> Starts {
        match next {
            Next::Start(starts) => starts,
            Next::Wait(_) | Next::GiveUp => panic!("not started: {next:?}"),
        }
    }

    #[test]
    fn a_dead_node_is_started_at_once_then_ever_more_slowly_then_no_more() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut starts = started(Starts::default().next(0, now, 3));
        assert_eq!(starts.next(0, now, 3), Next::Wait(Duration::from_millis(500)));
        now += SignedDuration::from_millis(500);
        starts = started(starts.next(0, now, 3));
        assert_eq!(starts.next(0, now, 3), Next::Wait(Duration::from_secs(1)));
        now += SignedDuration::from_secs(1);
        starts = started(starts.next(0, now, 3));
        assert_eq!(starts.next(0, now, 3), Next::GiveUp);
    }

    #[test]
    fn one_that_takes_back_what_it_did_gets_nowhere() {
        let now = Timestamp::UNIX_EPOCH;
        let starts = Starts { in_vain: 3, last: Some(now), done: 2 };
        assert_eq!(starts.next(1, now, 3), Next::GiveUp);
    }

    #[test]
    fn a_count_in_pieces_begins_anew_and_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        std::fs::write(attempt.file(attempt::STARTS), "").unwrap();
        assert_eq!(Starts::of(&attempt).unwrap(), Starts::default());
        let kept = Starts { in_vain: 1, last: None, done: 2 };
        kept.keep(&attempt).unwrap();
        assert_eq!(Starts::of(&attempt).unwrap(), kept);
    }

    #[test]
    fn one_that_got_somewhere_has_all_its_starts_again() {
        let now = Timestamp::UNIX_EPOCH;
        let starts = Starts { in_vain: 3, last: Some(now), done: 1 };
        assert_eq!(starts.next(1, now, 3), Next::GiveUp);
        assert_eq!(started(starts.next(2, now, 3)), Starts { in_vain: 1, last: Some(now), done: 2 });
    }
}
