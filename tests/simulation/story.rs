//! What happened, for a person to read: told only of a seed that failed, by running it once more.

use std::fmt::Write as _;

use tessera::task::TaskId;

/// Who did what, when.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Whether anybody listens: nothing is written for nobody.
    pub(crate) is_told: bool,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    at_ms: u64,
    who: String,
    task: Option<TaskId>,
    text: String,
}

/// Lines of a story that are shown at most; the first ones give way.
const SHOWN: usize = 400;

impl Story {
    /// Something happened: to a task, or to all of them.
    pub(crate) fn tell(&mut self, at_ms: u64, who: &str, task: Option<&TaskId>, text: impl FnOnce() -> String) {
        if self.is_told {
            self.lines.push(Line { at_ms, who: who.to_owned(), task: task.cloned(), text: text() });
        }
    }

    /// What concerns a task, or everything.
    pub(crate) fn of(&self, task: Option<&TaskId>) -> String {
        let concerns = |line: &&Line| task.is_none() || line.task.is_none() || line.task.as_ref() == task;
        let mut lines: Vec<(&Line, u32)> = Vec::new();
        for line in self.lines.iter().filter(concerns) {
            match lines.last_mut() {
                Some((last, times)) if last.who == line.who && last.text == line.text => *times += 1,
                Some(_) | None => lines.push((line, 1)),
            }
        }
        let mut told = String::new();
        let left_out = lines.len().saturating_sub(SHOWN);
        if left_out > 0 {
            let _ = writeln!(told, "  … {left_out} lines before these are left out");
        }
        for (line, times) in &lines[left_out..] {
            let again = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            let (second, ms) = (line.at_ms / 1_000, line.at_ms % 1_000);
            let _ = writeln!(told, "  {second:>6}.{ms:03} s  {:<10}  {}{again}", line.who, line.text);
        }
        told
    }

    /// How long it is.
    pub(crate) fn length(&self) -> usize {
        self.lines.len()
    }
}
