//! Domain values as columns, and back: what every store does, with the faults of this one.

pub(super) use crate::store::columns::*;
