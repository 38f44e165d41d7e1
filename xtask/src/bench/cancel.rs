//! From `:cancel` to SIGTERM, and to CANCELED.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "cancel",
    what: "running containers on Docker: how long until the command has SIGTERM, and until the task says CANCELED",
    bench: "cancel",
    needs: Needs::Docker,
    aims: &[Aim { figure: "to_sigterm_ms_median", value: 100.0, better: Better::Lower }],
    on_postgres: None,
};
