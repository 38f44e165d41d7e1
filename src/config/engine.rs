//! `[engine]`: how tasks are moved. The defaults suit one server; each figure bounds something.

use serde::{Deserialize, Serialize};

use super::backends::Backends;
use super::problem::Problems;

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// The backend of tasks that ask for none. Default empty: the first by name.
    pub default_backend: String,
    /// How often is looked for changes that nobody rang for, milliseconds. Default 1000.
    pub poll_period_ms: u64,
    /// How often is looked for jobs that no task knows, milliseconds. Default 30000.
    pub sweep_period_ms: u64,
    /// How long a backend may take for one answer, milliseconds. Default 15000.
    pub call_timeout_ms: u64,
    /// How long a claimed task is left to the server that took it, milliseconds; longer than a hand-over takes. Default
    /// 60000.
    pub claim_lease_ms: u64,
    /// Attempts at a task, the first included. Default 3.
    pub attempts: u32,
    /// Try again also when a command of the user may have run (TES contract 12.10). Default false.
    pub retry_after_start: bool,
    /// The first wait before something is tried again, milliseconds; each further one is twice as long. Default 1000.
    pub backoff_first_ms: u64,
    /// The longest wait before something is tried again, milliseconds. Default 60000.
    pub backoff_most_ms: u64,
    /// The first wait after a backend said that an operator must act, milliseconds. Default 15000.
    pub misconfigured_first_ms: u64,
    /// The longest such wait, milliseconds. Default 300000.
    pub misconfigured_most_ms: u64,
    /// How long a backend that does not answer is left alone at most, milliseconds. Default 10000.
    pub probe_most_ms: u64,
    /// How long a task waits for room before its log says so, milliseconds. Default 1000.
    pub note_waiting_after_ms: u64,
    /// How long a job cannot be read before its task's log says so, milliseconds. Default 60000.
    pub note_unreadable_after_ms: u64,
    /// After how long a stop that has not happened is asked for again, milliseconds. Default 2000.
    pub cancel_again_ms: u64,
    /// Waiting tasks looked at in one tick, from the oldest on, and as many further down the queue. Default 512.
    pub scan: u32,
    /// Tasks taken in one tick. Default 256.
    pub claims: u32,
    /// Jobs handed over, stopped or removed at the same time. Default 64.
    pub calls_at_once: u32,
    /// Jobs asked about in one call. Default 512.
    pub observe_batch: u32,
    /// What a task that asks for no cores, and has no default, is counted with, thousandths of a core. No limit for it.
    /// Default 1000.
    pub default_cpu_milli: u64,
    /// What a task that asks for no memory, and has no default, is counted with, bytes. No limit for it. Default 0.
    pub default_ram_bytes: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            default_backend: String::new(),
            poll_period_ms: 1_000,
            sweep_period_ms: 30_000,
            call_timeout_ms: 15_000,
            claim_lease_ms: 60_000,
            attempts: 3,
            retry_after_start: false,
            backoff_first_ms: 1_000,
            backoff_most_ms: 60_000,
            misconfigured_first_ms: 15_000,
            misconfigured_most_ms: 300_000,
            probe_most_ms: 10_000,
            note_waiting_after_ms: 1_000,
            note_unreadable_after_ms: 60_000,
            cancel_again_ms: 2_000,
            scan: 512,
            claims: 256,
            calls_at_once: 64,
            observe_batch: 512,
            default_cpu_milli: 1_000,
            default_ram_bytes: 0,
        }
    }
}

impl Engine {
    pub(super) fn check(&self, backends: &Backends, problems: &mut Problems) {
        let default = &self.default_backend;
        if !default.is_empty() && !backends.0.contains_key(default) {
            let names: Vec<_> = backends.0.keys().map(|name| format!("`{name}`")).collect();
            problems.add("engine.default_backend", format!("`{default}` is not there; there are {}", names.join(", ")));
        }
        let never_zero = [
            ("poll_period_ms", self.poll_period_ms),
            ("sweep_period_ms", self.sweep_period_ms),
            ("call_timeout_ms", self.call_timeout_ms),
            ("claim_lease_ms", self.claim_lease_ms),
            ("attempts", self.attempts.into()),
            ("backoff_first_ms", self.backoff_first_ms),
            ("backoff_most_ms", self.backoff_most_ms),
            ("misconfigured_first_ms", self.misconfigured_first_ms),
            ("misconfigured_most_ms", self.misconfigured_most_ms),
            ("probe_most_ms", self.probe_most_ms),
            ("cancel_again_ms", self.cancel_again_ms),
            ("scan", self.scan.into()),
            ("claims", self.claims.into()),
            ("calls_at_once", self.calls_at_once.into()),
            ("observe_batch", self.observe_batch.into()),
        ];
        for (key, value) in never_zero {
            if value == 0u64 {
                problems.add(&format!("engine.{key}"), "0 would keep every task waiting; at least 1");
            }
        }
        let pairs = [
            ("backoff_most_ms", self.backoff_first_ms, self.backoff_most_ms),
            ("misconfigured_most_ms", self.misconfigured_first_ms, self.misconfigured_most_ms),
            // No hand-over begins when the lease might end before the backend has answered.
            ("claim_lease_ms", self.call_timeout_ms.saturating_mul(3), self.claim_lease_ms),
        ];
        for (key, least, value) in pairs {
            if value < least {
                problems.add(
                    &format!("engine.{key}"),
                    format!("{value} is too short: at least {least}, with the other settings as they are"),
                );
            }
        }
    }
}
