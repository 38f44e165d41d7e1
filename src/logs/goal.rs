//! How much of the old logs is to go. Pure.

/// Freed beyond what lacks, or the next byte would lack again; of little that is held, no more than a part.
const MARGIN: u64 = 64 << 20;
const MARGIN_PART: u64 = 8;

/// What is to go.
pub(super) struct Goal {
    /// The first day that is not too old.
    pub(super) oldest: Option<String>,
    /// Bytes to be freed because the disk lacks them.
    pub(super) for_room: u64,
    /// How many are to be free then, beyond those that are to be left so.
    pub(super) margin: u64,
    /// Bytes that went.
    pub(super) freed: u64,
}

/// How much more is freed than lacks, when so much is held.
pub(super) fn margin(held: u64) -> u64 {
    MARGIN.min(held / MARGIN_PART)
}

/// How much is to be freed when so many bytes lack on the disk. Nothing when all that is held would not do: it was not
/// the logs that filled it, and without them it would be as full.
pub(super) fn to_free(lacking: u64, held: u64) -> u64 {
    if lacking == 0 { 0 } else { at_most(lacking.saturating_add(margin(held)), held) }
}

/// What is wanted, if so much is held.
pub(super) fn at_most(wanted: u64, held: u64) -> u64 {
    if wanted > held { 0 } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_room_goes_what_lacks_and_a_margin_if_that_can_be_had() {
        const MIB: u64 = 1 << 20;
        assert_eq!(to_free(0, 1 << 40), 0, "nothing lacks");
        assert_eq!(to_free(MIB, 10 << 30), 65 * MIB);
        assert_eq!(to_free(MIB, 80 * MIB), 11 * MIB, "of little, a part");
        assert_eq!(to_free(MIB, MIB), 0, "all of it would not do");
        assert_eq!(to_free(u64::MAX, 10 << 30), 0);
        assert_eq!(to_free(1, 0), 0);
    }
}
