//! Who else is here: the servers that share a store, and which of them may act.
//!
//! A server says again and again that it is there. What one had that has not said so for its lease is taken over by the
//! others; what it says later is refused by the store's fences. So nothing here is needed to be right, only to be alone
//! in what one does, and to know when another's work is to be taken.
//!
//! Invariants:
//! - a server whose own lease is over does nothing until it has enlisted again: it may have been paused;
//! - a server alone on its store is always here, and never asks.
//!
//! Parts: [`present`]: who is here; [`turn`]: work that one does at a time.

pub mod present;
pub mod turn;

pub use present::{Roster, Seen};
pub use turn::Turn;
