//! How calls go wrong.

use tessera_contract::scripted::Gate;

/// A verb of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Verb {
    Create,
    CreateOnce,
    Summary,
    Get,
    ListSummaries,
    List,
    RequestCancel,
    Queueing,
    Ahead,
    Queued,
    Claim,
    Load,
    Active,
    Canceling,
    Record,
    Leftovers,
    Forget,
    Standing,
    Enlist,
    Leave,
    TakeOver,
    Lease,
    Keeper,
    Changes,
    Kept,
    Trim,
    Told,
    Tell,
    Owners,
    Beyond,
    Expire,
    History,
    Check,
}

/// What happens to one call.
#[derive(Debug, Clone)]
pub enum Mischief {
    /// Nothing is done, and the store is out of reach.
    Fail,
    /// It is done, and the answer is lost on the way: the store is out of reach.
    LoseAnswer,
    /// Nothing is done before the gate opens.
    Delay(Gate),
    /// It is done, and the answer comes when the gate opens.
    DelayAnswer(Gate),
    /// Others changed each of the tasks in between ([`crate::store::Recorded::Conflict`]). Only where there are others,
    /// and only of verbs that can say so.
    Conflict,
}

/// Says of each call how it goes wrong, if it does.
pub type Plot = dyn Fn(Verb) -> Option<Mischief> + Send + Sync;
