//! How far a job is, from the end of the log of the container that does the work.

use tessera_runtime::pod::words::Record;
use tessera_runtime::report::{Progress, REPORT_VERSION};

use crate::report::records;

/// The newest progress in a piece of a log.
pub(crate) fn newest(log: &[u8]) -> Option<Progress> {
    records(log).rev().find_map(|text| match serde_json::from_slice(text) {
        Ok(Record::Progress(progress)) if progress.version <= REPORT_VERSION => Some(progress),
        Ok(Record::Progress(_) | Record::Report(_)) | Err(_) => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_newest_whole_record_counts_and_garbage_is_passed_over() {
        let record = |job: &str| {
            format!("\u{1e}{{\"progress\":{{\"version\":1,\"job\":\"{job}\",\"began\":\"2026-01-01T00:00:00Z\"}}}}\n")
        };
        let newest_of = |log: String| newest(log.as_bytes()).map(|progress| progress.job);
        let table = [
            (String::new(), None),
            ("no record at all\n".to_owned(), None),
            (record("a") + &record("b"), Some("b")),
            (record("a") + "noise\n" + "\u{1e}{\"progress\":12}\n", Some("a")),
            (record("a") + record("b").trim_end(), Some("a")),
            ("gress\":{}}\n".to_owned() + &record("c"), Some("c")),
        ];
        for (log, expected) in table {
            assert_eq!(newest_of(log.clone()).as_deref(), expected, "{log:?}");
        }
    }
}
