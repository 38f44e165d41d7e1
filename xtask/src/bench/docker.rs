//! A task on Docker, against the same container made by hand.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "docker",
    what: "create → COMPLETE of `true`, interleaved with raw create, start, wait, remove of the same image",
    bench: "docker",
    needs: Needs::Docker,
    aims: &[
        Aim { figure: "latency_ratio_median", value: 1.0, better: Better::Lower },
        Aim { figure: "throughput_ratio_at_4", value: 0.97, better: Better::Higher },
    ],
    on_postgres: None,
};
