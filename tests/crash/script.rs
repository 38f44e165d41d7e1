//! The words of the scripted backend, and what is counted outside of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::load::Words;

/// Executors that leave their lines in a file.
pub struct Scripted {
    /// The file.
    pub outside: PathBuf,
}

impl Scripted {
    fn executor(&self, command: Value) -> Value {
        json!({ "image": "scripted", "command": command })
    }
}

impl Words for Scripted {
    fn line(&self, line: &str) -> Value {
        self.executor(json!(["append", self.outside, line]))
    }

    fn slow_line(&self, line: &str) -> Value {
        self.executor(json!(["append", self.outside, line, "run-ms", "60"]))
    }

    fn exit(&self, code: i32) -> Value {
        self.executor(json!(["exit", code.to_string()]))
    }

    fn hang(&self) -> Value {
        self.executor(json!(["hang"]))
    }

    fn resources(&self) -> Value {
        json!({ "cpu_cores": 1 })
    }
}

/// How often each line stands in the file outside.
pub fn count_lines(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        *counts.entry(line.to_owned()).or_insert(0) += 1;
    }
    counts
}
