//! What a job is about at the moment, for whoever waits for it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::storage::moved::Amount;

/// What a job is about, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// When it began with that.
    pub since: Timestamp,
    /// With what.
    pub work: Work,
}

/// What takes its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// An image is pulled.
    Pulling {
        /// Which.
        image: String,
        /// Bytes that have come.
        bytes: u64,
        /// Bytes in all; `None` while the size of a layer is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of_bytes: Option<u64>,
    },
    /// Inputs are brought in.
    Fetching {
        /// Files that are there.
        files: u64,
        /// Files in all, as far as is known.
        of_files: u64,
        /// Bytes that have come.
        bytes: u64,
        /// Bytes in all; `None` while the size of a file is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of_bytes: Option<u64>,
    },
    /// An executor's turn.
    Running {
        /// Its index in the plan.
        executor: u32,
    },
    /// Outputs are delivered.
    Delivering {
        /// Files that lie at their URLs.
        files: u64,
        /// Files in all.
        of_files: u64,
        /// Bytes that were sent.
        bytes: u64,
        /// Bytes in all; `None` while the size of a file is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of_bytes: Option<u64>,
    },
}

impl Work {
    /// Inputs, so far.
    pub fn fetching(amount: Amount) -> Self {
        let Amount { files, of_files, bytes, of_bytes } = amount;
        Self::Fetching { files, of_files, bytes, of_bytes }
    }

    /// Outputs, so far.
    pub fn delivering(amount: Amount) -> Self {
        let Amount { files, of_files, bytes, of_bytes } = amount;
        Self::Delivering { files, of_files, bytes, of_bytes }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pulling { image, bytes, of_bytes } => {
                write!(f, "pulling image `{image}`: {}", Share(*bytes, *of_bytes))
            }
            Self::Fetching { files, of_files, bytes, of_bytes } => {
                write!(f, "fetching inputs: {files} of {of_files} files, {}", Share(*bytes, *of_bytes))
            }
            Self::Running { executor } => write!(f, "running executor {executor}"),
            Self::Delivering { files, of_files, bytes, of_bytes } => {
                write!(f, "delivering outputs: {files} of {of_files} files, {}", Share(*bytes, *of_bytes))
            }
        }
    }
}

struct Share(u64, Option<u64>);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(of) => write!(f, "{} of {}", Size(self.0), Size(of)),
            None => write!(f, "{}", Size(self.0)),
        }
    }
}

/// Bytes in decimal units, as registries and storages count them.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        match units.into_iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{}.{} {name}", self.0 / unit, self.0 % unit / (unit / 10)),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_how_much_of_how_much() {
        let amount = Amount { files: 3, of_files: 10, bytes: 1_250_000_000, of_bytes: Some(40_000_000_000) };
        let unsized_yet = Amount { of_bytes: None, bytes: 999, ..amount };
        let pulling = |of_bytes| Work::Pulling { image: "x:1".to_owned(), bytes: 12_345_678, of_bytes };
        let table = [
            (Work::fetching(amount), "fetching inputs: 3 of 10 files, 1.2 GB of 40.0 GB"),
            (Work::fetching(unsized_yet), "fetching inputs: 3 of 10 files, 999 bytes"),
            (Work::delivering(amount), "delivering outputs: 3 of 10 files, 1.2 GB of 40.0 GB"),
            (pulling(Some(3_000_000_000)), "pulling image `x:1`: 12.3 MB of 3.0 GB"),
            (pulling(None), "pulling image `x:1`: 12.3 MB"),
            (Work::Running { executor: 2 }, "running executor 2"),
        ];
        for (work, sentence) in table {
            assert_eq!(work.to_string(), sentence);
        }
    }
}
