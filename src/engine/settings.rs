//! What an operator may turn.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tessera_runtime::plan::Policy;
use tessera_runtime::storage::settings::Storage;

/// How tasks are moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often is looked for changes that nobody rang for, milliseconds. Default 1000.
    pub poll_period_ms: u64,
    /// How often is looked for jobs that no task knows, milliseconds. Default 30000.
    pub sweep_period_ms: u64,
    /// How long a backend may take for one answer, milliseconds. Default 15000.
    pub call_timeout_ms: u64,
    /// How long a claimed task is left to the one who took it, milliseconds: longer than a hand-over takes. Default
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
    /// What a task that says nothing, and has no default, is counted with, thousandths of a core. No limit. Default
    /// 1000.
    pub default_cpu_milli: u64,
    /// What a task that says nothing, and has no default, is counted with, bytes of memory. No limit. Default 0.
    pub default_ram_bytes: u64,
    /// What all jobs share.
    pub job: JobSettings,
}

/// What all jobs share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSettings {
    /// How the runtime behaves where the task does not say.
    pub policy: Policy,
    /// Which places a job may read from and write to, and how they are reached.
    pub storage: Storage,
    /// The same for single owners, whole. Default none.
    pub owners: BTreeMap<String, Storage>,
    /// Processes and threads of one executor. Default none.
    pub pids: Option<u32>,
    /// Tasks may ask for the host's own network. Default false.
    pub host_network: bool,
    /// Backend parameters for tasks that do not set them themselves. Default none.
    pub parameters: BTreeMap<String, String>,
    /// What a task may use that does not say. Default nothing: then the most holds.
    pub default: Amounts,
    /// The most that a task may ask for. Default no bound.
    pub most: Amounts,
}

/// Amounts of what a task uses; `None` says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory.
    pub ram_bytes: Option<u64>,
    /// Bytes of disk.
    pub disk_bytes: Option<u64>,
    /// Milliseconds from the first executor's start.
    pub walltime_ms: Option<u64>,
    /// GPUs.
    pub gpu_count: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
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
            job: JobSettings::default(),
        }
    }
}

impl Settings {
    pub(super) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }

    pub(super) fn claim_lease(&self) -> Duration {
        // One that is too short for a single hand-over would never let any begin.
        Duration::from_millis(self.claim_lease_ms).max(self.call_timeout().saturating_mul(3))
    }

    pub(super) fn calls_at_once(&self) -> usize {
        at_least_one(self.calls_at_once)
    }

    pub(super) fn observe_batch(&self) -> usize {
        at_least_one(self.observe_batch)
    }
}

/// A bound of zero would be a tick that never does anything.
fn at_least_one(bound: u32) -> usize {
    usize::try_from(bound.max(1)).unwrap_or(usize::MAX)
}
