//! An event at a thousand listeners.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "listeners",
    what: "1,000 streams of events: how long after a create each of them hears of it, and their memory",
    bench: "listeners",
    needs: Needs::Nothing,
    aims: &[
        Aim { figure: "event_ms_p99", value: 200.0, better: Better::Lower },
        Aim { figure: "listeners_mb", value: 100.0, better: Better::Lower },
    ],
    on_postgres: None,
};
