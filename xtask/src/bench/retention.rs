//! What it costs others when very many old tasks are removed.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "retention",
    what: "100,000 ended tasks removed from SQLite while 8 clients create, and the same clients before that",
    bench: "retention",
    needs: Needs::Nothing,
    aims: &[
        Aim { figure: "p99_ms_during", value: 50.0, better: Better::Lower },
        Aim { figure: "removed_per_second", value: 1_000.0, better: Better::Higher },
    ],
    on_postgres: None,
};
