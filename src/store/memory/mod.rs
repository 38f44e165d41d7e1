//! A scripted fake of the stores, in memory: for simulations, where everything that can go wrong is chosen by a seed.
//!
//! It makes the promises of a store with the meaning of either kind ([`Semantics`]): one server alone, as on SQLite, or
//! several at once, as on PostgreSQL. A [`Memory`] is one server's way to what is stored; its clones, and what
//! [`Memory::seen_through`] makes, look at the same. Every verb yields before and after it acts, so that whoever calls
//! may be dropped on either side; and how a call goes wrong is asked of a [`Plot`] each time.
//!
//! What was written stands in a [journal], in its order, for those who watch whether all is well. Whether they would
//! notice is seen with a [`Flaw`]: a promise that is broken on purpose.
//!
//! Parts, in reading order:
//! - [`ground`]: what is stored;
//! - [`mischief`], [`flaw`], [`journal`]: how it goes wrong, and what is seen of it;
//! - [`call`]: one call of a verb;
//! - [`verbs`]: the verbs, each with its part in `create`, `record`, `claim`, `queue`, `listing`, `replicas`,
//!   `retention`.

pub mod call;
mod claim;
mod create;
pub mod flaw;
pub mod ground;
pub mod journal;
mod listing;
pub mod mischief;
mod queue;
mod record;
mod replicas;
mod retention;
pub mod verbs;

pub use call::{Memory, Semantics};
pub use flaw::Flaw;
pub use journal::{By, Written};
pub use mischief::{Mischief, Plot, Verb};

#[cfg(test)]
mod tests;
