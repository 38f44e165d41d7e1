//! What a request allocates.

use super::figures::{Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "allocations",
    what: "what a create, a get and a page allocate, and what the JSON of a task takes",
    bench: "allocations",
    needs: Needs::Nothing,
    aims: &[],
    on_postgres: Some(&[]),
};
