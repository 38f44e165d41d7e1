//! Tasks asked for by their ids.

use super::figures::{Aim, Better, Measurement, Needs};

const AIMS: &[Aim] = &[Aim { figure: "gets_per_second_minimal", value: 20_000.0, better: Better::Higher }];

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "gets",
    what: "tasks asked for by their ids with 16 keep-alive clients, next to a bare axum handler and the statement alone",
    bench: "gets",
    needs: Needs::Nothing,
    aims: AIMS,
    on_postgres: Some(AIMS),
};
