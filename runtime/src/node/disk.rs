//! A bound on the disk that the task uses (TES contract 13.2).
//!
//! What is bounded is the task's tree, inputs included, and the layer of the container that runs. The layer is
//! given a quota where the engine's storage driver has one. Beyond that everything is watched: measured again and
//! again, so rarely that measuring takes a small part of the time, and the task is stopped when it uses too much.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::drive::Node;
use super::engine::{EngineError, StorageDriver};
use super::fault::Trouble;
use crate::course::disk::{Pace, TREE, size, too_much, tree_bytes};

/// How often the container's layer is measured: there the engine does the work, for all that it carries.
const LAYER: Pace = Pace { shortest: Duration::from_secs(5), share: 100, longest: Duration::from_secs(600) };
/// No step runs.
const NONE: u32 = u32::MAX;

/// What is known of the engine's ways, and which container is to be looked at.
#[derive(Debug)]
pub(super) struct Disk {
    driver: OnceCell<Option<StorageDriver>>,
    refused: AtomicBool,
    taken: AtomicBool,
    running: AtomicU32,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            driver: OnceCell::new(),
            refused: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            running: AtomicU32::new(NONE),
        }
    }
}

impl Disk {
    /// A step has its turn.
    pub(super) fn runs(&self, step: u32) {
        self.running.store(step, Ordering::Relaxed);
    }

    /// The engine has taken a quota.
    pub(super) fn take(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// The engine does not take quotas after all.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }
}

impl Node {
    /// Returns when the task uses more disk than it asked for.
    pub(super) async fn too_much_disk(&self) -> Trouble {
        let Some(allowed) = self.plan.limits.disk_bytes else {
            return std::future::pending().await;
        };
        let Err(used) = self.watch_disk(allowed).await;
        too_much(used, allowed)
    }

    /// The error is how much was used.
    async fn watch_disk(&self, allowed: u64) -> Result<Infallible, u64> {
        let mut layer = Layer::default();
        loop {
            let before = Instant::now();
            let tree = tree_bytes(self.tree.path(), None).await.unwrap_or(0);
            let pause = TREE.after(before.elapsed());
            let mut used = tree.saturating_add(layer.bytes(self.step(), before, |step| self.layer_bytes(step)).await);
            if used > allowed && !layer.is_since(before) {
                // What was in the layer may be in the tree by now, or in a container that is gone.
                let tree = tree_bytes(self.tree.path(), None).await.unwrap_or(0);
                used = tree.saturating_add(layer.measure(self.step(), |step| self.layer_bytes(step)).await);
            }
            self.journal.disk_used(used);
            if used > allowed {
                return Err(used);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The step that has its turn.
    fn step(&self) -> u32 {
        self.disk.running.load(Ordering::Relaxed)
    }

    /// A sentence on an executor that may have failed for want of room in its container: with a quota that is an
    /// error of the command's own, which nobody stops.
    pub(super) fn room_of_layer(&self, step: u32) -> Option<String> {
        let allowed = self.plan.limits.disk_bytes.filter(|_| self.disk.taken.load(Ordering::Relaxed))?;
        let allowed = size(allowed);
        Some(format!("executor {step} could write up to {allowed} (`disk_gb`) beside its mounts and its image"))
    }

    async fn layer_bytes(&self, step: u32) -> u64 {
        match step {
            NONE => 0,
            step => self.engine.layer_bytes(&self.container(step)).await.unwrap_or(0),
        }
    }

    /// How much the layer of a container may take, as the engine is asked for it.
    pub(super) async fn quota(&self, image: &str) -> Option<u64> {
        let allowed = self.plan.limits.disk_bytes?;
        if self.disk.refused.load(Ordering::Relaxed) {
            return None;
        }
        let driver = self.disk.driver.get_or_init(|| async { self.engine.storage_driver().await.ok() }).await;
        match driver.as_ref()?.counts()? {
            Counts::Layer => Some(allowed),
            Counts::LayerAndImage => allowed.checked_add(self.engine.image_bytes(image).await.ok()?),
        }
    }
}

/// What a storage driver's quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Layer,
    LayerAndImage,
}

impl StorageDriver {
    /// `None` where there is no quota. Whether the file system was mounted so that there is one is not said here: a
    /// refusal says it.
    fn counts(&self) -> Option<Counts> {
        match (self.name.as_str(), self.file_system.as_str()) {
            ("overlay2" | "overlay", "xfs") | ("zfs", _) => Some(Counts::Layer),
            ("btrfs", _) => Some(Counts::LayerAndImage),
            _ => None,
        }
    }
}

/// Whether an engine's words are about the quota that it was asked for.
pub(super) fn is_about_quota(error: &EngineError) -> bool {
    let words = error.to_string().to_lowercase();
    ["storage-opt", "storage opt", "storageopt", "quota"].iter().any(|about| words.contains(about))
}

/// What a container's layer came to, and which step's it was: the next one begins with an empty layer.
#[derive(Debug)]
struct Layer {
    step: u32,
    bytes: u64,
    measured: Option<Instant>,
    next: Instant,
}

impl Default for Layer {
    fn default() -> Self {
        Self { step: NONE, bytes: 0, measured: None, next: Instant::now() + LAYER.shortest }
    }
}

impl Layer {
    /// What is known of the layer of a step, measured when it is time.
    async fn bytes(&mut self, step: u32, now: Instant, measure: impl AsyncFn(u32) -> u64) -> u64 {
        match self.step == step {
            _ if now >= self.next => self.measure(step, measure).await,
            true => self.bytes,
            false => 0,
        }
    }

    async fn measure(&mut self, step: u32, measure: impl AsyncFn(u32) -> u64) -> u64 {
        let asked = Instant::now();
        let bytes = measure(step).await;
        *self = Self { step, bytes, measured: Some(asked), next: Instant::now() + LAYER.after(asked.elapsed()) };
        bytes
    }

    fn is_since(&self, then: Instant) -> bool {
        self.measured.is_some_and(|measured| measured >= then)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::super::attempt::Attempt;
    use super::super::journal::Journal;
    use super::super::verb;
    use super::*;
    use crate::course::disk::note_used;
    use crate::layout::Layout;
    use crate::plan::Plan;
    use crate::report::FaultClass;

    /// A node whose engine is not there, as long as nobody asks it.
    fn node(folder: &std::path::Path, disk_bytes: u64) -> Node {
        let plan = json!({"version": 1, "job": "t-1", "executors": [{"image": "a", "command": ["true"]}],
            "limits": {"disk_bytes": disk_bytes}});
        let settings = json!({"version": 1, "backend": "docker", "installation": "i", "runtime_binary": "/r",
            "engine": {"host": "unix:///no/such/socket"}});
        let plan: Plan = serde_json::from_value(plan).unwrap();
        let attempt = Attempt::at(folder);
        let journal = Journal::open(&attempt, "t-1", None).unwrap();
        let layout = Layout::of(&plan).unwrap();
        verb::open(attempt, plan, serde_json::from_value(settings).unwrap(), layout, journal, false).unwrap()
    }

    #[tokio::test]
    async fn rule_13_2_a_task_is_told_how_much_disk_it_used_and_may_use() {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), 1 << 20);
        std::fs::write(node.tree.path().join("large"), vec![1; 3 << 20]).unwrap();
        let trouble = tokio::time::timeout(Duration::from_secs(20), node.too_much_disk()).await.unwrap();
        let expected = "the task used 3.00 MiB of disk and may use 1.00 MiB; what still ran was stopped; ask for more \
                        `disk_gb`";
        assert_eq!((trouble.class, trouble.message.as_str()), (FaultClass::Rejected, expected));
    }

    #[tokio::test]
    async fn rule_13_2_a_failure_under_a_quota_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), 1 << 30);
        assert_eq!(node.room_of_layer(0), None);
        node.disk.take();
        let sentence = "executor 0 could write up to 1.00 GiB (`disk_gb`) beside its mounts and its image";
        assert_eq!(node.room_of_layer(0).as_deref(), Some(sentence));
    }

    #[tokio::test]
    async fn rule_13_2_what_was_used_when_all_was_over_is_only_told() {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), 1 << 20);
        std::fs::write(node.tree.path().join("large"), vec![1; 3 << 20]).unwrap();
        note_used(&node.plan.limits, &node.tree, &node.journal).await;
        let report = node.journal.report(crate::report::Outcome::Complete, Vec::new(), []);
        assert!(report.metadata["disk_used_bytes"].parse::<u64>().unwrap() >= 3 << 20);
        let sentence = "the task used 3.00 MiB of disk and may use 1.00 MiB; it had ended before";
        assert_eq!(report.notes[0].text, sentence);
    }

    #[tokio::test]
    async fn rule_13_2_the_layer_of_a_step_is_not_counted_in_the_next() {
        let mut layer = Layer::default();
        let (begin, unasked) = (Instant::now(), async |step: u32| panic!("step {step} is measured too soon"));
        assert_eq!(layer.bytes(0, begin, unasked).await, 0);
        assert_eq!(layer.bytes(0, layer.next, async |step| 6 + u64::from(step)).await, 6);
        assert!(layer.is_since(begin) && !layer.is_since(Instant::now() + LAYER.longest));
        assert_eq!(layer.bytes(0, begin, unasked).await, 6);
        assert_eq!(layer.bytes(1, begin, unasked).await, 0);
        assert_eq!(layer.bytes(NONE, begin, unasked).await, 0);
        assert_eq!(layer.measure(1, async |step| 6 + u64::from(step)).await, 7);
        assert_eq!(layer.bytes(1, begin, unasked).await, 7);
    }

    #[test]
    fn rule_13_2_measuring_takes_a_small_part_of_the_time() {
        let ms = Duration::from_millis;
        for (took, pause) in [(0, 500), (25, 500), (100, 2_000), (1_000, 20_000), (600_000, 60_000)] {
            assert_eq!(TREE.after(ms(took)), ms(pause), "{took}");
        }
        assert_eq!(LAYER.after(ms(1)), ms(5_000));
        assert_eq!(LAYER.after(ms(100)), ms(10_000));
    }

    #[test]
    fn rule_13_2_a_quota_is_asked_for_where_there_may_be_one() {
        let table = [
            ("overlay2", "xfs", Some(Counts::Layer)),
            ("overlay2", "extfs", None),
            ("zfs", "zfs", Some(Counts::Layer)),
            ("btrfs", "", Some(Counts::LayerAndImage)),
            ("vfs", "xfs", None),
            ("", "", None),
        ];
        for (name, file_system, counts) in table {
            let driver = StorageDriver { name: name.into(), file_system: file_system.into() };
            assert_eq!(driver.counts(), counts, "{name} on {file_system}");
        }
    }

    #[test]
    fn rule_13_2_an_engine_that_takes_no_quota_is_understood() {
        let refused = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
        assert!(is_about_quota(&EngineError::Failed(refused.into())));
        assert!(!is_about_quota(&EngineError::Failed("no space left on device".into())));
    }

    #[test]
    fn amounts_are_for_people() {
        assert_eq!((size(1 << 30), size(1 << 20)), ("1.00 GiB".into(), "1.00 MiB".into()));
        assert_eq!(size(32 << 20), "0.03 GiB");
    }
}
