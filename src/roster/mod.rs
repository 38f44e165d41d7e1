//! Who else is here: the servers that share a store, and which of them may act.
//!
//! A server says again and again that it is there. What one had that has not said so for its lease is taken over by the
//! others; what it says later is refused by the store's fences. So nothing here is needed to be right, only to be alone
//! in what one does, and to know when another's work is to be taken.
//!
//! ```text
//!   start ─► join ──name is free──► here ──said again, each third of a lease──► here
//!              └──another has it──► an error, after a lease        │
//!   the store does not take the word for a lease: may not act ◄────┤
//!   a later run, or a thief, has the name: never acts again ◄──────┘
//! ```
//!
//! Invariants:
//! - a server whose own lease is over does nothing until it has enlisted again: it may have been paused;
//! - another counts as away when it has said nothing new for a lease *by our own clock*: clocks that differ make nobody
//!   away, and after a gap of our own everybody gets a lease to speak;
//! - a server alone on its store is always here, and never asks.
//!
//! Parts, in reading order:
//! - [`present`]: who is here, as it is asked for everywhere;
//! - [`heard`]: how that follows from what was heard, pure;
//! - [`place`]: where a backend is: with us, with another, with one that does not come back;
//! - [`join`]: the first word; [`heartbeat`]: the further ones.

pub mod heard;
pub mod heartbeat;
pub mod join;
pub mod place;
pub mod present;

pub use join::{Newcomer, NotJoined, Terms};
pub use place::{Whereabouts, at_machine, base, machine};
pub use present::{Roster, Seen};
