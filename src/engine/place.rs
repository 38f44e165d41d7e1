//! Whether a task has room on a backend. Pure.

use tessera_contract::Capacity;

use super::settings::Settings;
use crate::store::{Candidate, Load};

/// What a task is counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes of memory.
    pub ram_bytes: u64,
}

impl Need {
    /// What a waiting task is counted with; one that says nothing is never too large for a backend.
    pub fn of(candidate: &Candidate, capacity: &Capacity, settings: &Settings) -> Self {
        let within = |default: u64, most: Option<u64>| most.map_or(default, |most| default.min(most));
        let default = &settings.job.default;
        let cpu_milli = default.cpu_milli.unwrap_or(settings.default_cpu_milli);
        let ram_bytes = default.ram_bytes.unwrap_or(settings.default_ram_bytes);
        Self {
            cpu_milli: candidate.cpu_milli.unwrap_or_else(|| within(cpu_milli, capacity.cpu_milli)),
            ram_bytes: candidate.ram_bytes.unwrap_or_else(|| within(ram_bytes, capacity.ram_bytes)),
        }
    }
}

/// What is free on a backend; `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    cpu_milli: Option<u64>,
    ram_bytes: Option<u64>,
    jobs: Option<u64>,
}

impl Room {
    /// What a load leaves of a capacity.
    pub fn left(capacity: &Capacity, load: Option<&Load>) -> Self {
        let left = |most: Option<u64>, taken: Option<u64>| most.map(|most| most.saturating_sub(taken.unwrap_or(0)));
        Self {
            cpu_milli: left(capacity.cpu_milli, load.map(|load| load.cpu_milli)),
            ram_bytes: left(capacity.ram_bytes, load.map(|load| load.ram_bytes)),
            jobs: left(capacity.jobs, load.map(|load| load.jobs)),
        }
    }

    /// Takes what a task is counted with.
    pub fn take(&mut self, need: Need) {
        let take = |free: &mut Option<u64>, amount: u64| *free = free.map(|free| free.saturating_sub(amount));
        take(&mut self.cpu_milli, need.cpu_milli);
        take(&mut self.ram_bytes, need.ram_bytes);
        take(&mut self.jobs, 1);
    }

    /// How much is free of what a task lacks.
    pub fn free(&self, short: Short) -> u64 {
        let free = match short {
            Short::Cpu { .. } => self.cpu_milli,
            Short::Ram { .. } => self.ram_bytes,
            Short::Jobs { .. } => self.jobs,
        };
        free.unwrap_or(u64::MAX)
    }

    /// Nothing fits any more, however small.
    pub fn is_full(&self) -> bool {
        self.jobs == Some(0) || self.cpu_milli == Some(0)
    }
}

/// Whether a task has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Now.
    Now,
    /// When others have gone.
    Later(Short),
    /// Not on this backend.
    Never(Short),
}

/// What a task lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// Cores.
    Cpu {
        /// Thousandths of a core it needs.
        needs: u64,
        /// Thousandths of a core the backend has.
        has: u64,
    },
    /// Memory.
    Ram {
        /// Bytes it needs.
        needs: u64,
        /// Bytes the backend has.
        has: u64,
    },
    /// A place among the jobs.
    Jobs {
        /// Jobs the backend carries at once.
        has: u64,
    },
}

/// Whether a task has room.
pub fn fit(need: Need, capacity: &Capacity, room: &Room) -> Fit {
    let cpu = |has| Short::Cpu { needs: need.cpu_milli, has };
    let ram = |has| Short::Ram { needs: need.ram_bytes, has };
    let beyond = |most: Option<u64>, needs: u64| most.filter(|most| needs > *most);
    if let Some(has) = beyond(capacity.cpu_milli, need.cpu_milli) {
        return Fit::Never(cpu(has));
    }
    if let Some(has) = beyond(capacity.ram_bytes, need.ram_bytes) {
        return Fit::Never(ram(has));
    }
    if beyond(room.jobs, 1).is_some() {
        return Fit::Later(Short::Jobs { has: capacity.jobs.unwrap_or_default() });
    }
    if beyond(room.cpu_milli, need.cpu_milli).is_some() {
        return Fit::Later(cpu(capacity.cpu_milli.unwrap_or_default()));
    }
    if beyond(room.ram_bytes, need.ram_bytes).is_some() {
        return Fit::Later(ram(capacity.ram_bytes.unwrap_or_default()));
    }
    Fit::Now
}

impl Short {
    /// What is lacking, in one word: the same word is the same reason.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cores",
            Self::Ram { .. } => "memory",
            Self::Jobs { .. } => "a place",
        }
    }
}

impl Short {
    /// An amount of what is lacking, for people.
    pub fn amount(&self, amount: u64) -> String {
        match self {
            Self::Cpu { .. } => Cores(amount).to_string(),
            Self::Ram { .. } => Gib(amount).to_string(),
            Self::Jobs { .. } => amount.to_string(),
        }
    }
}

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu { needs: 1_000, has } => write!(f, "needs 1 core of {}", Cores(*has)),
            Self::Cpu { needs, has } => write!(f, "needs {} cores of {}", Cores(*needs), Cores(*has)),
            Self::Ram { needs, has } => write!(f, "needs {} of {} of memory", Gib(*needs), Gib(*has)),
            Self::Jobs { has } => write!(f, "needs one of {has} places"),
        }
    }
}

struct Cores(u64);

impl std::fmt::Display for Cores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, milli) = (self.0 / 1_000, self.0 % 1_000);
        if milli == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{milli:03}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

struct Gib(u64);

impl std::fmt::Display for Gib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const GIB: u64 = 1 << 30;
        if self.0.is_multiple_of(GIB) {
            write!(f, "{} GiB", self.0 / GIB)
        } else {
            write!(f, "{} MiB", self.0.div_ceil(1 << 20))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn capacity() -> Capacity {
        Capacity { cpu_milli: Some(4_000), ram_bytes: Some(8 * GIB), jobs: Some(3) }
    }

    fn loaded(jobs: u64, cpu_milli: u64, ram_bytes: u64) -> Room {
        let load = Load { backend: "b".to_owned(), jobs, cpu_milli, ram_bytes };
        Room::left(&capacity(), Some(&load))
    }

    fn need(cpu_milli: u64, ram_bytes: u64) -> Need {
        Need { cpu_milli, ram_bytes }
    }

    #[test]
    fn room_is_found_now_later_or_never() {
        let fit = |need, room: Room| fit(need, &capacity(), &room);
        let rows = [
            (need(4_000, 8 * GIB), loaded(0, 0, 0), Fit::Now),
            (need(4_000, 0), loaded(1, 1, 0), Fit::Later(Short::Cpu { needs: 4_000, has: 4_000 })),
            (need(1, 8 * GIB), loaded(1, 0, 1), Fit::Later(Short::Ram { needs: 8 * GIB, has: 8 * GIB })),
            (need(1, 0), loaded(3, 0, 0), Fit::Later(Short::Jobs { has: 3 })),
            (need(4_001, 0), loaded(0, 0, 0), Fit::Never(Short::Cpu { needs: 4_001, has: 4_000 })),
            (need(1, 9 * GIB), loaded(3, 0, 0), Fit::Never(Short::Ram { needs: 9 * GIB, has: 8 * GIB })),
            // More is out there than there should be: another server, or a smaller limit since.
            (need(1, 0), loaded(9, 9_000, 0), Fit::Later(Short::Jobs { has: 3 })),
        ];
        for (need, room, wanted) in rows {
            assert_eq!(fit(need, room), wanted, "{need:?} in {room:?}");
        }
    }

    #[test]
    fn taking_leaves_less_and_no_bound_stays_none() {
        let mut room = loaded(0, 0, 0);
        room.take(need(3_000, GIB));
        assert_eq!(room, loaded(1, 3_000, GIB));
        room.take(need(9_000, 0));
        assert!(room.is_full());
        let mut free = Room::left(&Capacity::default(), None);
        free.take(need(u64::MAX, u64::MAX));
        assert_eq!(fit(need(u64::MAX, u64::MAX), &Capacity::default(), &free), Fit::Now);
    }

    #[test]
    fn a_task_that_says_nothing_always_fits_an_empty_backend() {
        let candidate = Candidate {
            task: crate::task::TaskId::new(jiff::Timestamp::UNIX_EPOCH),
            attempt: 1,
            fence: crate::store::Fence(0),
            backend: None,
            claimed_on: None,
            cpu_milli: None,
            ram_bytes: None,
        };
        let small = Capacity { cpu_milli: Some(500), ram_bytes: Some(10), jobs: Some(1) };
        let settings = Settings { default_ram_bytes: GIB, ..Settings::default() };
        assert_eq!(Need::of(&candidate, &small, &settings), need(500, 10));
        let large = Capacity::default();
        assert_eq!(Need::of(&candidate, &large, &settings), need(1_000, GIB));
        let mut limited = settings;
        limited.job.default.ram_bytes = Some(2 * GIB);
        assert_eq!(Need::of(&candidate, &large, &limited), need(1_000, 2 * GIB), "what it may use is counted");
    }

    #[test]
    fn sentences_name_need_and_limit() {
        let shorts = [
            (Short::Cpu { needs: 8_250, has: 4_000 }, "needs 8.25 cores of 4"),
            (Short::Ram { needs: 64 * GIB, has: 10 << 20 }, "needs 64 GiB of 10 MiB of memory"),
            (Short::Jobs { has: 2 }, "needs one of 2 places"),
        ];
        for (short, sentence) in shorts {
            assert_eq!(short.to_string(), sentence);
        }
    }
}
