//! How much disk a task's tree takes, measured again and again (TES contract 13.2).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::trouble::Trouble;
use crate::node::journal::Journal;
use crate::plan::Limits;
use crate::report::FaultClass;
use crate::tree::Tree;
use crate::weigh::weigh;

/// The tree is measured at most this often.
pub(crate) const TREE: Pace =
    Pace { shortest: Duration::from_millis(500), share: 20, longest: Duration::from_secs(60) };
/// How long the last measuring may take, which only serves the log.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// How often something is measured: its cost bounds its share of the time.
pub(crate) struct Pace {
    pub(crate) shortest: Duration,
    pub(crate) share: u32,
    pub(crate) longest: Duration,
}

impl Pace {
    /// The pause after a measuring that took so long.
    pub(crate) fn after(&self, took: Duration) -> Duration {
        took.saturating_mul(self.share).clamp(self.shortest, self.longest)
    }
}

/// An amount for people to read.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn size(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib < 0.01 { format!("{:.2} MiB", gib * 1_024.0) } else { format!("{gib:.2} GiB") }
}

/// The bytes of a tree; `None` when they cannot be told, or not within that time.
pub(crate) async fn tree_bytes(tree: &Path, within: Option<Duration>) -> Option<u64> {
    let path = tree.to_owned();
    // Dropped with the watch, so that nothing is measured for nobody.
    let wanted = Arc::new(());
    let still_wanted = Arc::downgrade(&wanted);
    let until = within.map(|within| Instant::now() + within);
    let measuring = tokio::task::spawn_blocking(move || {
        weigh(&path, &|| still_wanted.strong_count() == 0 || until.is_some_and(|until| Instant::now() > until))
    });
    // What cannot be measured now may be the next time.
    let measured = measuring.await;
    drop(wanted);
    measured.ok()?.ok()?
}

/// Returns when the tree takes more than the task asked for.
pub(crate) async fn watch_tree(limits: &Limits, tree: &Tree, journal: &Journal) -> Trouble {
    let Some(allowed) = limits.disk_bytes else {
        return std::future::pending().await;
    };
    loop {
        let before = Instant::now();
        let used = tree_bytes(tree.path(), None).await.unwrap_or(0);
        journal.disk_used(used);
        if used > allowed {
            return too_much(used, allowed);
        }
        tokio::time::sleep(TREE.after(before.elapsed())).await;
    }
}

/// What a task is told that uses too much.
pub(crate) fn too_much(used: u64, allowed: u64) -> Trouble {
    Trouble::new(
        FaultClass::Rejected,
        format!(
            "the task used {} of disk and may use {}; what still ran was stopped; ask for more `disk_gb`",
            size(used),
            size(allowed)
        ),
    )
}

/// Notes what the task has used when its commands are over. Then it is too late to stop anything, and what they
/// made is delivered.
pub(crate) async fn note_used(limits: &Limits, tree: &Tree, journal: &Journal) {
    let Some(used) = tree_bytes(tree.path(), Some(LAST_WITHIN)).await else {
        return;
    };
    journal.disk_used(used);
    if let Some(allowed) = limits.disk_bytes.filter(|allowed| used > *allowed) {
        let (used, allowed) = (size(used), size(allowed));
        journal.note(format!("the task used {used} of disk and may use {allowed}; it had ended before"));
    }
}
