//! Which rows there are. What tags a task has is said by what was asked for: each store writes its own index of them. Who
//! is here, and who does what, is no part of a store that nobody serves.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number, or none.
    Number,
    /// A text of our own, or none: an id, a document. It holds no NUL.
    Plain,
    /// A text that others have written, or none. It may hold anything.
    Free,
    /// Bytes.
    Bytes,
}

/// Rows of one kind.
#[derive(Debug)]
pub struct Table {
    /// Its name, in every store.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, Kind)],
}

impl Table {
    /// Where a column stands.
    pub fn at(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|(name, _)| *name == column)
    }
}

use Kind::{Bytes, Free, Number, Plain};

/// What was asked for stands with its task: the number by which a store finds it is its own.
pub static TASKS: Table = Table {
    name: "tasks",
    columns: &[
        ("id", Plain),
        ("owner", Free),
        ("created", Number),
        ("name", Free),
        ("spec", Plain),
        ("phase", Number),
        ("stage", Number),
        ("state", Plain),
        ("version", Number),
        ("not_before", Number),
        ("wanted", Free),
        ("ask_cpu", Number),
        ("ask_ram", Number),
        ("fence", Number),
        ("holder", Free),
        ("backend", Free),
        ("until", Number),
        ("cpu", Number),
        ("ram", Number),
    ],
};

/// The column of `tasks` that another table holds.
pub const SPEC: &str = "spec";

/// What happened to tasks.
pub static EVENTS: Table =
    Table { name: "events", columns: &[("task", Plain), ("seq", Number), ("at", Number), ("body", Plain)] };

/// Jobs whose leavings have not been removed.
pub static LEFTOVERS: Table =
    Table { name: "leftovers", columns: &[("task", Plain), ("backend", Free), ("handle", Free), ("holder", Free)] };

/// All of them, in the order in which they are moved.
pub static TABLES: [&Table; 7] = [
    &Table { name: "store", columns: &[("installation", Plain)] },
    &TASKS,
    &EVENTS,
    &LEFTOVERS,
    &Table {
        name: "changes",
        columns: &[
            ("n", Number),
            ("owner", Free),
            ("task", Plain),
            ("phase", Number),
            ("previous", Number),
            ("at", Number),
        ],
    },
    &Table { name: "told", columns: &[("target", Free), ("n", Number)] },
    &Table { name: "keys", columns: &[("owner", Free), ("key", Free), ("task", Plain), ("digest", Bytes)] },
];
