//! Following a log: how far behind, and what a thousand followers cost.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "logs",
    what: "a command on Docker that prints the time: how far behind its followers are, one and a thousand of them",
    bench: "logs",
    needs: Needs::Docker,
    aims: &[
        Aim { figure: "behind_ms_p99", value: 200.0, better: Better::Lower },
        Aim { figure: "followers_1000_mb", value: 100.0, better: Better::Lower },
    ],
    on_postgres: None,
};
