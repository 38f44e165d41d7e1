//! The store's verbs.

use super::figures::{Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "verbs",
    what: "the store's verbs, next to the disk's fdatasync",
    bench: "store",
    needs: Needs::Nothing,
    aims: &[],
    on_postgres: None,
};
