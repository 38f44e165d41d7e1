//! Moves tasks: the only hand that does.
//!
//! The work is done in *ticks*: each looks at what the store holds, asks a backend, records what that means, and
//! returns. A tick is bounded, may be repeated, and may die at any point: what it knows is in the store and outside,
//! and the next tick, of this server or of the next, goes on from there. What the engine remembers besides only
//! makes it polite: how long to leave a backend alone, what it has said already.
//!
//! ```text
//!   create ─► bell ─► dispatch ──submit──►                 ──► Submitted, Postponed, Ended
//!   cancel ─► bell ─► cancel ────cancel──►  one backend    ──► Submitted, Stopped
//!   job    ─► bell ─► observe ───observe─►  at a time      ──► Advanced, Ended, Retried, Stopped, …
//!   ended  ─► bell ─► sweep ─────release─►                 ──► forgotten
//! ```
//!
//! Invariants:
//! - each backend has loops of its own, one for each kind of tick: one that hangs delays no other, and no cancel;
//! - each call to a backend is bounded in time; no answer is an answer that says nothing about jobs;
//! - a task is handed over only under a claim, under an id that is the same for the same attempt, and after a last
//!   look whether it is still wanted;
//! - what does not fit is passed over, never a wall; what can never fit ends with a sentence;
//! - CANCELED is recorded when nothing is left outside, or on a machine that does not come back;
//! - of several servers on one store one acts on a task, and none whose own lease is over.
//!
//! Parts, in reading order:
//! - [`settings`]: what an operator may turn;
//! - [`assembly`]: the engine put together, its bells;
//! - [`site`]: a backend, and what is remembered of it;
//! - [`ownership`]: whose a task is, where there are several servers;
//! - [`retry`], [`place`], [`lower`] with its `amounts`, [`verdict`], [`orphan`]: decisions, pure;
//! - [`dispatch`] with its `telling`, [`handover`] with its `unsaid`, [`observe`], [`cancel`], [`sweep`], [`absent`]: the ticks;
//! - [`waiting`], [`explain`], [`pace`]: why a task waits, when somebody asks, without haste;
//! - [`search`], [`clearing`], [`quiet`]: what ticks share: finding a job by its id, putting jobs away, saying
//!   things once;
//! - [`run`]: the loops that call them.

pub mod absent;
mod amounts;
pub mod assembly;
pub mod cancel;
pub mod clearing;
pub mod dispatch;
pub mod explain;
pub mod handover;
pub mod lower;
pub mod observe;
pub mod orphan;
pub mod ownership;
pub mod pace;
pub mod place;
pub mod quiet;
pub mod retry;
pub mod run;
pub mod search;
pub mod settings;
pub mod site;
pub mod sweep;
mod telling;
mod unsaid;
pub mod verdict;
pub mod waiting;

pub use assembly::{Engine, Tick};
pub use settings::{Amounts, JobSettings, Settings};

#[cfg(test)]
mod tests;
