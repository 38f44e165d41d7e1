//! `[limits]`: how much a task may use (TES contract 13.2).

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// What a task gets that does not say. Default nothing: then the most holds, where that is given.
    pub default: Amounts,
    /// The most that a task may ask for; beyond it the task ends in SYSTEM_ERROR. Default no bound.
    pub most: Amounts,
}

/// Amounts of what a task uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Cores. Default none.
    pub cpu_cores: Option<f64>,
    /// Memory, GiB. Default none.
    pub ram_gb: Option<f64>,
    /// Disk, GiB. Default none.
    pub disk_gb: Option<f64>,
    /// Time from the first executor's start, seconds. Default none.
    pub walltime_s: Option<u64>,
    /// GPUs; only as a most, for nobody gets one without asking. Default none.
    pub gpu_count: Option<u32>,
}

impl Amounts {
    /// Thousandths of a core.
    pub fn cpu_milli(&self) -> Option<u64> {
        self.cpu_cores.map(|cores| whole(cores * 1_000.0))
    }

    /// Bytes of memory.
    pub fn ram_bytes(&self) -> Option<u64> {
        self.ram_gb.map(|gib| whole(gib * f64::from(1 << 30)))
    }

    /// Bytes of disk.
    pub fn disk_bytes(&self) -> Option<u64> {
        self.disk_gb.map(|gib| whole(gib * f64::from(1 << 30)))
    }

    /// Milliseconds.
    pub fn walltime_ms(&self) -> Option<u64> {
        self.walltime_s.map(|seconds| seconds.saturating_mul(1_000))
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be positive; `as` saturates.
fn whole(amount: f64) -> u64 {
    amount.ceil() as u64
}

impl Limits {
    pub(super) fn check(&self, problems: &mut Problems) {
        for (name, amounts) in [("default", &self.default), ("most", &self.most)] {
            let fractions =
                [("cpu_cores", amounts.cpu_cores), ("ram_gb", amounts.ram_gb), ("disk_gb", amounts.disk_gb)];
            for (key, value) in fractions {
                if value.is_some_and(|value| !value.is_finite() || value <= 0.0) {
                    problems.add(&format!("limits.{name}.{key}"), "must be more than 0; leave it out for no bound");
                }
            }
            if amounts.walltime_s == Some(0) {
                problems.add(&format!("limits.{name}.walltime_s"), "must be at least 1; leave it out for no bound");
            }
        }
        if self.default.gpu_count.is_some() {
            problems.add("limits.default.gpu_count", "nobody gets a GPU without asking for it; leave it out");
        }
        let pairs = [
            ("cpu_cores", self.default.cpu_milli(), self.most.cpu_milli()),
            ("ram_gb", self.default.ram_bytes(), self.most.ram_bytes()),
            ("disk_gb", self.default.disk_bytes(), self.most.disk_bytes()),
            ("walltime_s", self.default.walltime_ms(), self.most.walltime_ms()),
        ];
        for (key, default, most) in pairs {
            if default.zip(most).is_some_and(|(default, most)| default > most) {
                problems.add(&format!("limits.default.{key}"), format!("is more than limits.most.{key}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_cannot_be_are_named() {
        let table = [
            ("[default]\ncpu_cores = 0", "limits.default.cpu_cores"),
            ("[most]\nram_gb = -1", "limits.most.ram_gb"),
            ("[most]\ndisk_gb = inf", "limits.most.disk_gb"),
            ("[most]\nwalltime_s = 0", "limits.most.walltime_s"),
            ("[default]\ngpu_count = 1", "limits.default.gpu_count"),
            ("[default]\nram_gb = 2\n[most]\nram_gb = 1", "limits.default.ram_gb"),
            ("[default]\nwalltime_s = 2\n[most]\nwalltime_s = 1", "limits.default.walltime_s"),
        ];
        for (text, key) in table {
            let limits: Limits = toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let mut problems = Problems::default();
            limits.check(&mut problems);
            assert_eq!(problems.found.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), [key], "{text}");
        }
    }

    #[test]
    fn fractions_become_whole_units() {
        let amounts = Amounts { cpu_cores: Some(0.5), ram_gb: Some(1.5), walltime_s: Some(2), ..Amounts::default() };
        assert_eq!((amounts.cpu_milli(), amounts.ram_bytes()), (Some(500), Some(3 << 29)));
        assert_eq!((amounts.disk_bytes(), amounts.walltime_ms()), (None, Some(2_000)));
    }
}
