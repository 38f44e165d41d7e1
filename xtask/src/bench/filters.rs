//! Listings by every filter, at growing numbers of tasks.

use super::figures::{Aim, Better, Measurement, Needs};

const AIMS: &[Aim] = &[
    Aim { figure: "slowest_filter_1000000_ms_p99", value: 5.0, better: Better::Lower },
    Aim { figure: "one_selective_1000000_ms_p99", value: 5.0, better: Better::Lower },
    Aim { figure: "least_flat_filter", value: 1.5, better: Better::Lower },
];

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "filters",
    what: "listings by every filter and by combinations of them, at 1,000 to 1,000,000 tasks",
    bench: "filters",
    needs: Needs::Nothing,
    aims: AIMS,
    on_postgres: Some(AIMS),
};
