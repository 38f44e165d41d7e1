//! Start-up and memory.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "footprint",
    what: "from starting the program to its first answer, and what it holds of memory while nothing happens",
    bench: "footprint",
    needs: Needs::Nothing,
    aims: &[
        Aim { figure: "start_up_ms_median", value: 50.0, better: Better::Lower },
        Aim { figure: "idle_rss_mb", value: 30.0, better: Better::Lower },
    ],
    on_postgres: None,
};
