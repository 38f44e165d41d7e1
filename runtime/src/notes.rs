//! Sentences for the task's system log, bounded: an event worth reading is worth a line, a thousand like it are
//! not.

/// Collected sentences.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    lines: Vec<String>,
    more: u64,
}

impl Notes {
    const MOST: usize = 20;

    /// Adds a sentence, or counts it when there are many already.
    pub(crate) fn add(&mut self, line: String) {
        if self.lines.len() < Self::MOST {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }

    /// Adds what others have collected.
    pub(crate) fn append(&mut self, other: Self) {
        self.more += other.more;
        for line in other.lines {
            self.add(line);
        }
    }

    /// The sentences; the last one says how many there would have been.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let mut lines = self.lines;
        if self.more > 0 {
            lines.push(format!("and {} more notes of this kind", self.more));
        }
        lines
    }
}
