//! What tasks hold of memory and of the disk.

use super::figures::{Aim, Better, Measurement, Needs};

const AIMS: &[Aim] = &[
    Aim { figure: "bytes_each_waiting", value: 1_000.0, better: Better::Lower },
    Aim { figure: "resident_mb_running", value: 200.0, better: Better::Lower },
];

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "memory",
    what: "memory of 100,000 tasks that wait and of 10,000 that run on the scripted backend, and what each takes of the \
           disk",
    bench: "memory",
    needs: Needs::Nothing,
    aims: AIMS,
    on_postgres: Some(AIMS),
};
