//! Durable creates over HTTP, against a bare handler and the disk.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "creates",
    what: "durable creates with 1, 16 and 64 keep-alive clients, next to a bare axum handler and the disk's fdatasync",
    bench: "creates",
    needs: Needs::Nothing,
    aims: &[
        Aim { figure: "creates_per_second_at_64", value: 15_000.0, better: Better::Higher },
        Aim { figure: "p99_ms_at_64", value: 20.0, better: Better::Lower },
        Aim { figure: "share_while_tasks_run_at_64", value: 0.95, better: Better::Higher },
    ],
    on_postgres: Some(&[
        Aim { figure: "creates_per_second_at_64", value: 8_000.0, better: Better::Higher },
        Aim { figure: "p99_ms_at_64", value: 40.0, better: Better::Lower },
        Aim { figure: "share_while_tasks_run_at_64", value: 0.95, better: Better::Higher },
    ]),
};
