//! What was acknowledged, and what must be true of it in the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A task that the server has acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Names its lines in the file outside.
    pub tag: String,
    /// States it may end in, as long as no cancel was acknowledged.
    pub ends: &'static str,
    /// How many of its executors leave a line when all goes well.
    pub lines: usize,
    /// A cancel was sent; the server may have died before it arrived, or before it could say so.
    pub cancel_sent: bool,
    /// A cancel was acknowledged.
    pub cancelled: bool,
}

/// All acknowledged tasks, by id.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<String, Acknowledged>>>);

impl Ledger {
    pub fn acknowledge(&self, id: &str, task: Acknowledged) {
        assert!(self.0.lock().unwrap().insert(id.to_owned(), task).is_none(), "the id {id} was given out twice");
    }

    pub fn send_cancel(&self, id: &str) {
        self.0.lock().unwrap().get_mut(id).unwrap().cancel_sent = true;
    }

    pub fn acknowledge_cancel(&self, id: &str) {
        self.0.lock().unwrap().get_mut(id).unwrap().cancelled = true;
    }

    /// Tasks that end only by a cancel, and whose cancel was not acknowledged.
    pub fn hanging(&self) -> Vec<String> {
        let ledger = self.0.lock().unwrap();
        ledger.iter().filter(|(_, task)| task.ends == "CANCELED" && !task.cancelled).map(|(id, _)| id.clone()).collect()
    }

    /// All of them.
    pub fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub fn knows(&self, id: &str) -> bool {
        self.0.lock().unwrap().contains_key(id)
    }

    /// Every acknowledged task exists.
    pub fn all_are_among(&self, ids: &[&str]) {
        let known: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
        for id in self.0.lock().unwrap().keys() {
            assert!(known.contains(id.as_str()), "the acknowledged task {id} is gone");
        }
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Holds one ended task against what was promised, and against its lines outside.
    pub fn check(&self, task: &serde_json::Value, lines: &BTreeMap<String, usize>) {
        let ledger = self.0.lock().unwrap();
        let Some(promised) = ledger.get(task["id"].as_str().unwrap()) else {
            // Stored, but the server died before it could say so: any end is right.
            return;
        };
        let state = task["state"].as_str().unwrap();
        if promised.cancel_sent {
            // A task may have ended just before its cancel arrived.
            assert!(state == "CANCELED" || state == promised.ends, "cancelled, but {state}: {task}");
        } else {
            assert_eq!(state, promised.ends, "{task}");
        }
        let attempts = task["logs"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "no fault of a backend, so one attempt: {task}");
        for line in 0..promised.lines {
            let count = lines.get(&format!("{}-{line}", promised.tag)).copied().unwrap_or(0);
            assert!(count <= 1, "executor {line} of {} ran {count} times: {task}", promised.tag);
            if state != "CANCELED" {
                assert_eq!(count, 1, "executor {line} of {} left {count} lines: {task}", promised.tag);
            }
        }
    }
}
