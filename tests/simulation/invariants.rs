//! What must always be true, each with its sentence.

use std::fmt;

use tessera::task::TaskId;

/// What must be true, whatever goes wrong: of backends that keep their promises, and of requests that arrive within the
/// patience of those who sent them. A submit that arrives later, from a server that stood still between its last look and
/// its request, may find its job run and removed: nobody could know, and `docs/replicas.md` says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invariant {
    NothingIsLost,
    TerminalStands,
    OneLiveJob,
    StepsOnce,
    CancelWins,
    CanceledIsGone,
    TasksEnd,
    HistoryIsLegal,
    NumbersRise,
    OldFencesAreRefused,
    ClaimsAreExclusive,
    CallersAreCareful,
    NothingIsLeft,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingIsLost => "nothing acknowledged is lost",
            Self::TerminalStands => "a terminal state never changes",
            Self::OneLiveJob => "an attempt has at most one live job, and a task at most one attempt that lives",
            Self::StepsOnce => "a step is started at most once an attempt",
            Self::CancelWins => "cancel wins",
            Self::CanceledIsGone => "CANCELED is said when nothing lives outside, and nothing begins after it",
            Self::TasksEnd => "every task ends when faults stop",
            Self::HistoryIsLegal => "a history is legal by the machine, and is what the state came from",
            Self::NumbersRise => "changes are numbered without repeats, in order",
            Self::OldFencesAreRefused => "nobody's record under an old fence is taken",
            Self::ClaimsAreExclusive => "a claim that lasts is nobody else's, and fences rise",
            Self::CallersAreCareful => "a backend is asked for nothing that a careful caller never asks for",
            Self::NothingIsLeft => "nothing is left outside when all has ended",
        })
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) invariant: Invariant,
    pub(crate) task: Option<TaskId>,
    pub(crate) what: String,
}
