//! What a command prints: JSON, tables on a terminal, plain lines in a pipe.
//!
//! Names, tags, messages and logs are written by others: nothing of them that a terminal obeys gets through to one.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::failure::Failure;
use super::visible::{self, Pieces};

/// Standard output and the progress on standard error. A reader that went away (`| head`) is no error: what comes
/// later is dropped, and [`Printer::is_closed`] says so.
#[derive(Debug)]
pub struct Printer {
    json: bool,
    closed: bool,
    progress: bool,
    out: Pieces,
    err: Pieces,
}

impl Printer {
    /// Prints JSON, if asked to.
    pub fn new(json: bool) -> Self {
        Self { json, closed: false, progress: false, out: Pieces::default(), err: Pieces::default() }
    }

    /// Whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Prints a value as JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        let text = if io::stdout().is_terminal() { visible::json(&text) } else { text.as_str().into() };
        self.put(format!("{text}\n").as_bytes())
    }

    /// Prints a line.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.put(format!("{}\n", visible::text(text)).as_bytes())
    }

    /// Prints a piece of what a command printed to its standard output: as it is, but for a terminal.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if io::stdout().is_terminal() {
            let shown = self.out.next(bytes);
            return self.put(shown.as_bytes());
        }
        self.put(bytes)
    }

    /// Prints a piece of what a command printed to its standard error: as it is, but for a terminal.
    pub fn write_error(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.end_progress();
        let mut out = io::stderr().lock();
        if out.is_terminal() {
            let shown = self.err.next(bytes);
            out.write_all(shown.as_bytes())?;
        } else {
            out.write_all(bytes)?;
        }
        Ok(out.flush()?)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prints rows: aligned below headings on a terminal, separated by tabs and without headings in a pipe.
    pub fn table(&mut self, headings: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let is_for_people = io::stdout().is_terminal();
        let shown = |cell: &String| {
            let cell = visible::cell(cell);
            if is_for_people { short(&cell) } else { cell.into_owned() }
        };
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let text = if is_for_people { aligned(headings, &rows) } else { separated(&rows) };
        self.put(text.as_bytes())
    }

    /// Shows where things stand, on standard error: one line that changes on a terminal, plain lines in a pipe.
    pub fn progress(&mut self, now: &str, changed: bool) {
        let now = visible::cell(now);
        let mut out = io::stderr().lock();
        // Progress that nobody sees is no error.
        if out.is_terminal() {
            let _ = write!(out, "\r\x1b[K{now}").and_then(|()| out.flush());
            self.progress = true;
        } else if changed {
            let _ = writeln!(out, "{now}");
        }
    }

    /// Takes the progress line away, before something else is printed.
    pub fn end_progress(&mut self) {
        if std::mem::take(&mut self.progress) {
            let mut out = io::stderr().lock();
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }

    /// Says something on standard error.
    pub fn say(&mut self, text: &str) {
        self.end_progress();
        let _ = writeln!(io::stderr().lock(), "{}", visible::text(text));
    }
}

/// As much of a cell as leaves a table one.
fn short(cell: &str) -> String {
    const WIDEST: usize = 100;
    match cell.char_indices().nth(WIDEST) {
        Some(_) => cell.chars().take(WIDEST - 1).chain(['…']).collect(),
        None => cell.to_owned(),
    }
}

fn aligned(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(i, heading)| {
            rows.iter().filter_map(|row| row.get(i)).map(|cell| width(cell)).fold(width(heading), usize::max)
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded =
            cells.iter().zip(&widths).map(|(cell, w)| format!("{cell}{}", " ".repeat(w - width(cell).min(*w))));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head = line(headings.to_vec());
    head + &rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).collect::<String>()
}

fn separated(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| format!("{}\n", row.join("\t"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cell_is_cut_for_people() {
        assert_eq!(short("zwölf"), "zwölf");
        assert_eq!(short(&"ö".repeat(100)), "ö".repeat(100));
        assert_eq!(short(&"ö".repeat(101)), format!("{}…", "ö".repeat(99)));
    }

    #[test]
    fn tables_align_for_people_and_are_plain_for_programs() {
        let rows = vec![vec!["a".to_owned(), "QUEUED".to_owned()], vec!["bcd".to_owned(), "é".to_owned()]];
        assert_eq!(aligned(&["ID", "STATE"], &rows), "ID   STATE\na    QUEUED\nbcd  é\n");
        assert_eq!(separated(&rows), "a\tQUEUED\nbcd\té\n");
    }
}
