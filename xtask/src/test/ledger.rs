//! What was tried, how it went, how long it took.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::stopped;
use crate::house;

/// How much of a failed step's log is shown at once; the rest is one `less` away.
const SHOWN_LINES: usize = 200;

/// The steps so far. A failed one does not keep the others from being tried.
pub(crate) struct Ledger {
    logs: PathBuf,
    entries: Vec<Entry>,
    began: Instant,
}

struct Entry {
    name: String,
    took: Duration,
    failure: Option<String>,
}

impl Ledger {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { logs: house::folder("logs")?, entries: Vec::new(), began: Instant::now() })
    }

    /// Tries one step. It is given the file that takes what it says.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce(&PathBuf) -> Result<T>) -> Option<T> {
        if stopped() {
            return None;
        }
        let log = self.logs.join(format!("{}.log", name.replace([' ', '/'], "-")));
        let _ = fs::remove_file(&log);
        println!("{name} …");
        let began = Instant::now();
        let done = work(&log);
        let took = began.elapsed();
        let (value, failure) = match done {
            Ok(value) => {
                println!("  ok, {}", clock(took));
                (Some(value), None)
            }
            Err(error) => {
                println!("  FAILED, {}: {error:#}", clock(took));
                show(&log);
                (None, Some(format!("{error:#}")))
            }
        };
        self.entries.push(Entry { name: name.to_owned(), took, failure });
        value
    }

    /// The table; an error when anything failed.
    pub(crate) fn close(self) -> Result<()> {
        println!("\n{:<28} {:<8} {:>8}", "step", "result", "took");
        for entry in &self.entries {
            let result = if entry.failure.is_some() { "FAILED" } else { "ok" };
            println!("{:<28} {:<8} {:>8}", entry.name, result, clock(entry.took));
        }
        println!("{:<28} {:<8} {:>8}", "all", "", clock(self.began.elapsed()));
        println!("logs: {}", self.logs.display());
        let failed: Vec<&str> =
            self.entries.iter().filter(|entry| entry.failure.is_some()).map(|entry| entry.name.as_str()).collect();
        if stopped() {
            bail!("stopped; not everything was tried");
        }
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

fn show(log: &PathBuf) {
    let Ok(text) = fs::read(log) else { return };
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(SHOWN_LINES);
    if from > 0 {
        println!("  … {from} lines before these, in {}", log.display());
    }
    for line in &lines[from..] {
        println!("  | {line}");
    }
}

fn clock(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds < 60 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{}:{:02} min", seconds / 60, seconds % 60)
    }
}
