//! A page of 256 tasks.

use super::figures::{Aim, Better, Measurement, Needs};

const AIMS: &[Aim] = &[Aim { figure: "page_ms_p50_minimal", value: 2.0, better: Better::Lower }];

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "pages",
    what: "a page of 256 tasks over HTTP in each view, next to a bare axum handler that answers as many bytes",
    bench: "pages",
    needs: Needs::Nothing,
    aims: AIMS,
    on_postgres: Some(AIMS),
};
