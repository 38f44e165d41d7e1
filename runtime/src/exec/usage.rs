//! What a command used: memory and processor time (TES contract 15.7).
//!
//! The control group of the container counts everything that ran in it, whoever its parent was, so it comes first.
//! Where it cannot be read, the kernel's account of the children that were waited for has to do; of memory that is
//! the largest process alone, and no average.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use super::cgroup::Group;
use super::signals::is_init;
use crate::step::Usage;

/// Looks at the memory are this far apart at first …
const FIRST_PERIOD: Duration = Duration::from_millis(5);
/// … then this part of the time that has passed …
const SHARE: u32 = 20;
/// … and never further: an average over days does not need more.
const LONGEST_PERIOD: Duration = Duration::from_secs(2);

/// Processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) user_ns: u64,
    pub(super) system_ns: u64,
}

/// Counts from its making on.
#[derive(Debug)]
pub(super) struct Meter {
    group: Group,
    cpu_before: Option<Cpu>,
    killed_before: Option<u64>,
    average: Average,
    /// The memory can be looked at.
    seeing: bool,
}

impl Meter {
    /// Begins to count.
    pub(super) fn begin() -> Self {
        let group = if is_init() { Group::own() } else { Group::default() };
        let cpu_before = group.cpu();
        let now = Instant::now();
        let killed_before = group.killed_for_memory();
        let mut meter = Self { group, cpu_before, killed_before, average: Average::new(now), seeing: true };
        meter.look(now);
        meter
    }

    /// When the memory is to be looked at next; `None` where there is nothing to see.
    pub(super) fn due(&self) -> Option<Instant> {
        self.seeing.then(|| self.average.due())
    }

    /// Looks at the memory, if that is due.
    pub(super) fn look(&mut self, now: Instant) {
        if self.seeing && now >= self.average.due() {
            match self.group.memory() {
                Some(bytes) => self.average.add(now, bytes),
                None => self.seeing = false,
            }
        }
    }

    /// Whether the kernel has killed something for want of memory since then; false where it cannot be known.
    pub(super) fn out_of_memory(&self) -> bool {
        self.killed_before.zip(self.group.killed_for_memory()).is_some_and(|(before, now)| now > before)
    }

    /// What was used up to now.
    pub(super) fn read(&self) -> Usage {
        let (children_peak, children_cpu) = children();
        let cpu = match (self.cpu_before, self.group.cpu()) {
            (Some(before), Some(now)) => Cpu {
                user_ns: now.user_ns.saturating_sub(before.user_ns),
                system_ns: now.system_ns.saturating_sub(before.system_ns),
            },
            _ => children_cpu,
        };
        let average = self.average.until(Instant::now());
        // Without the kernel's own word, the most that was seen.
        let peak = self.group.peak_memory().unwrap_or_else(|| children_peak.max(self.average.most));
        Usage {
            peak_memory_bytes: peak,
            avg_memory_bytes: average.map(|bytes| bytes.min(peak)),
            user_cpu_ms: cpu.user_ns / 1_000_000,
            system_cpu_ms: cpu.system_ns / 1_000_000,
        }
    }
}

/// An average weighted by time: each look counts until the next one.
#[derive(Debug)]
struct Average {
    began: Instant,
    last: Option<(Instant, u64)>,
    /// Bytes × nanoseconds.
    area: u128,
    most: u64,
}

impl Average {
    fn new(began: Instant) -> Self {
        Self { began, last: None, area: 0, most: 0 }
    }

    fn due(&self) -> Instant {
        match self.last {
            None => self.began,
            Some((last, _)) => last + ((last - self.began) / SHARE).clamp(FIRST_PERIOD, LONGEST_PERIOD),
        }
    }

    fn add(&mut self, now: Instant, bytes: u64) {
        self.area += self.since_last(now);
        self.last = Some((now, bytes));
        self.most = self.most.max(bytes);
    }

    fn since_last(&self, now: Instant) -> u128 {
        self.last.map_or(0, |(at, bytes)| u128::from(bytes) * now.saturating_duration_since(at).as_nanos())
    }

    fn until(&self, now: Instant) -> Option<u64> {
        let (_, latest) = self.last?;
        let whole = now.saturating_duration_since(self.began).as_nanos();
        let average = (self.area + self.since_last(now)).checked_div(whole);
        Some(average.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(latest))
    }
}

/// The kernel's account of all children that were waited for: the largest one, and their time together.
fn children() -> (u64, Cpu) {
    let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Default::default();
    };
    let nanos = |time: nix::sys::time::TimeVal| {
        let nanos = i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_usec()) * 1_000;
        u64::try_from(nanos).unwrap_or_default()
    };
    // The kernel counts in KiB.
    let peak = u64::try_from(used.max_rss()).unwrap_or_default().saturating_mul(1_024);
    (peak, Cpu { user_ns: nanos(used.user_time()), system_ns: nanos(used.system_time()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_15_7_the_average_is_weighted_by_time() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut average = Average::new(began);
        assert_eq!(average.until(at(5)), None);
        average.add(at(0), 100);
        average.add(at(90), 1_000);
        assert_eq!(average.until(at(100)), Some((100 * 90 + 1_000 * 10) / 100));
        assert_eq!(average.most, 1_000);
        let mut at_once = Average::new(began);
        at_once.add(began, 7);
        assert_eq!(at_once.until(began), Some(7));
    }

    #[test]
    fn looks_become_rarer_but_not_rare() {
        let began = Instant::now();
        let mut average = Average::new(began);
        assert_eq!(average.due(), began);
        for (after_s, period) in [(0, FIRST_PERIOD), (10, Duration::from_millis(500)), (1_000, LONGEST_PERIOD)] {
            let now = began + Duration::from_secs(after_s);
            average.add(now, 1);
            assert_eq!(average.due() - now, period);
        }
    }

    #[test]
    fn rule_15_7_without_a_group_of_its_own_the_children_are_counted() {
        let meter = Meter::begin();
        let mut child = std::process::Command::new("sh");
        let busy = "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done";
        assert!(child.args(["-c", busy]).status().is_ok_and(|status| status.success()));
        let used = meter.read();
        assert!(used.peak_memory_bytes > 100_000, "{used:?}");
        assert!(used.user_cpu_ms + used.system_cpu_ms > 0, "{used:?}");
        assert_eq!(used.avg_memory_bytes, None);
    }
}
