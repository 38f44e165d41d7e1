//! What it costs to explain a queue.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "queue",
    what: "10,000 waiting tasks handed over and run, while every one of them is explained over and over, and while \
           nobody asks",
    bench: "queue",
    needs: Needs::Nothing,
    aims: &[
        Aim { figure: "slower_percent_asked_each_second", value: 5.0, better: Better::Lower },
        Aim { figure: "slower_percent_asked_over_and_over", value: 5.0, better: Better::Lower },
    ],
    on_postgres: None,
};
