//! Tells what happens, as it happens, to everybody who listens.
//!
//! ```text
//!   store ──bell──► pump ──shared batches──► listener, listener, …
//!     ▲                                          │
//!     └────────── who has fallen behind ─────────┘
//! ```
//!
//! The pump reads each new change once, and shares it with all listeners through a ring of bounded size. A listener
//! begins in the store, at the place it was told, and goes over to the ring when it has caught up; who falls out of the
//! ring reads the store again.
//!
//! Invariants:
//! - every listener sees every change that is kept, once, in the store's order;
//! - what is not kept any more is said, never passed over in silence;
//! - a slow listener holds up nobody, and costs no more memory than a fast one.
//!
//! Parts, in reading order:
//! - [`pump`]: from the store to the ring;
//! - [`listener`]: from the store and the ring to one who listens;
//! - [`trim`]: old changes go.

pub mod listener;
pub mod pump;
pub mod trim;

pub use listener::{Heard, Listener};
pub use pump::Feed;
pub use trim::keep;
