//! Promises that are broken on purpose, so that those who watch are seen to notice.

/// A promise that this store does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A creation is acknowledged, and now and then not written.
    ForgetsCreations,
    /// A word said under an older claim is taken.
    TakesOldFences,
    /// What arrives late moves a task that has ended.
    MovesWhatHasEnded,
    /// A state is written, and now and then its event is not.
    WritesStatesAlone,
    /// A change now and then gets the number of the former one.
    GivesANumberTwice,
    /// A cancel is acknowledged, and now and then not written.
    ForgetsCancels,
    /// Where an expired claim was taken for is not told.
    ForgetsWhereItWasClaimed,
    /// Whoever asks first gets a claim, also where another's lasts, and its fence is the same.
    SharesClaims,
    /// Tasks with an expired claim are never offered again.
    HidesExpiredClaims,
    /// Jobs that are over are not remembered, and unknown jobs are said to be wanted.
    ForgetsWhatIsLeft,
}
