//! How much a task may use, when it says so and when it does not (TES contract 13.2). Pure.

use std::fmt;

use tessera_contract::Capacity;
use tessera_runtime::plan::Limits;

use super::settings::{Amounts, JobSettings};

/// The limits of a task. What it asks for holds up to the most that the server allows. Where it says nothing it gets
/// the default, otherwise that most, and never more than the whole backend.
pub(super) fn settle(asked: Limits, settings: &JobSettings, capacity: &Capacity) -> Result<Limits, String> {
    let (default, most) = (&settings.default, &settings.most);
    let of = |what, asked, amount: fn(&Amounts) -> Option<u64>, there: Option<u64>| {
        one(what, asked, amount(default), amount(most), there)
    };
    let gpu_count = of(What::Gpus, asked.gpu_count.map(u64::from), |a| a.gpu_count.map(u64::from), None)?;
    Ok(Limits {
        cpu_milli: of(What::Cpu, asked.cpu_milli, |a| a.cpu_milli, capacity.cpu_milli)?,
        ram_bytes: of(What::Ram, asked.ram_bytes, |a| a.ram_bytes, capacity.ram_bytes)?,
        disk_bytes: of(What::Disk, asked.disk_bytes, |a| a.disk_bytes, None)?,
        walltime_ms: of(What::Walltime, asked.walltime_ms, |a| a.walltime_ms, None)?,
        // Nobody gets a device without asking for it.
        gpu_count: gpu_count.filter(|_| asked.gpu_count.is_some()).and_then(|count| u32::try_from(count).ok()),
        ..asked
    })
}

fn one(
    what: What,
    asked: Option<u64>,
    default: Option<u64>,
    most: Option<u64>,
    there: Option<u64>,
) -> Result<Option<u64>, String> {
    match (asked, most) {
        (Some(asked), Some(most)) if asked > most => Err(format!(
            "the task asks for {} and this server allows {}; ask for less",
            Amount(what, asked),
            Amount(what, most)
        )),
        (Some(asked), _) => Ok(Some(asked)),
        (None, _) => Ok(default.or(most).map(|silent| silent.min(there.unwrap_or(u64::MAX)))),
    }
}

#[derive(Debug, Clone, Copy)]
enum What {
    Cpu,
    Ram,
    Disk,
    Walltime,
    Gpus,
}

/// An amount in the words of the API.
struct Amount(What, u64);

impl fmt::Display for Amount {
    #[allow(clippy::cast_precision_loss)] // For people to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, amount) = *self;
        let gib = amount as f64 / f64::from(1 << 30);
        match what {
            What::Cpu => write!(f, "`cpu_cores` = {}", amount as f64 / 1_000.0),
            What::Ram => write!(f, "`ram_gb` = {gib}"),
            What::Disk => write!(f, "`disk_gb` = {gib}"),
            What::Walltime => write!(f, "a `walltime` of {} s", amount as f64 / 1_000.0),
            What::Gpus => write!(f, "`gpu_count` = {amount}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const GIB: u64 = 1 << 30;

    fn settings() -> JobSettings {
        let default = Amounts { cpu_milli: Some(1_000), ram_bytes: Some(2 * GIB), ..Amounts::default() };
        let most = Amounts {
            cpu_milli: Some(8_000),
            ram_bytes: Some(16 * GIB),
            disk_bytes: Some(100 * GIB),
            walltime_ms: Some(3_600_000),
            gpu_count: Some(1),
        };
        JobSettings { default, most, ..JobSettings::default() }
    }

    #[test]
    fn rule_13_2_what_is_not_asked_for_is_the_default_and_otherwise_the_most() {
        let silent = settle(Limits::default(), &settings(), &Capacity::default()).unwrap();
        assert_eq!((silent.cpu_milli, silent.ram_bytes), (Some(1_000), Some(2 * GIB)));
        assert_eq!((silent.disk_bytes, silent.walltime_ms), (Some(100 * GIB), Some(3_600_000)));
        assert_eq!(silent.gpu_count, None, "nobody gets a device without asking");
        let small = Capacity { cpu_milli: Some(500), ram_bytes: Some(GIB), jobs: None };
        let silent = settle(Limits::default(), &settings(), &small).unwrap();
        assert_eq!((silent.cpu_milli, silent.ram_bytes), (Some(500), Some(GIB)));
        let bare = settle(Limits::default(), &JobSettings::default(), &small).unwrap();
        assert_eq!(bare, Limits::default());
    }

    #[test]
    fn rule_13_2_what_is_asked_for_holds_up_to_the_most() {
        let asked = Limits {
            cpu_milli: Some(8_000),
            ram_bytes: Some(16 * GIB),
            disk_bytes: Some(100 * GIB),
            walltime_ms: Some(3_600_000),
            gpu_count: Some(1),
            ..Limits::default()
        };
        // Less than that is on the backend: placing says so, in its own words.
        let small = Capacity { cpu_milli: Some(500), ..Capacity::default() };
        assert_eq!(settle(asked.clone(), &settings(), &small).unwrap(), asked);
        let table = [
            (Limits { cpu_milli: Some(8_001), ..Limits::default() }, "`cpu_cores` = 8.001", "`cpu_cores` = 8"),
            (Limits { ram_bytes: Some(24 * GIB), ..Limits::default() }, "`ram_gb` = 24", "`ram_gb` = 16"),
            (Limits { disk_bytes: Some(101 * GIB), ..Limits::default() }, "`disk_gb` = 101", "`disk_gb` = 100"),
            (Limits { walltime_ms: Some(3_600_001), ..Limits::default() }, "3600.001 s", "`walltime` of 3600 s"),
            (Limits { gpu_count: Some(2), ..Limits::default() }, "`gpu_count` = 2", "`gpu_count` = 1"),
        ];
        for (limits, asked, allowed) in table {
            let sentence = settle(limits, &settings(), &Capacity::default()).unwrap_err();
            assert!(sentence.contains(asked) && sentence.contains(allowed), "{sentence}");
        }
    }
}
