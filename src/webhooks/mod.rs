//! Tells others' servers what happened to tasks, signed, until they say yes.
//!
//! Signatures, headers and retries follow the Standard Webhooks specification.
//!
//! Invariants:
//! - at least once: how far a target was told is durable, and is never ahead of what it has taken;
//! - in order for each task; tasks are told of side by side, and one message that is never taken holds up no other task;
//! - a target that is slow or dead holds up no other target, and no task;
//! - where several servers share a store, one of them tells a target at a time; for a moment it may be two, which tell the
//!   same under the same ids;
//! - redirects are never followed, and an address of this machine is asked only where the operator says so;
//! - what cannot be delivered is given up after a time, and the log says so.
//!
//! Parts, in reading order:
//! - [`target`]: whom to tell, and what;
//! - [`sign`]: how the target knows that it was us;
//! - [`send`]: one try;
//! - [`deliver`]: tries until there is an end;
//! - `window`: what was not told yet;
//! - [`follow`]: a target's way through all that happens.

pub mod deliver;
pub mod follow;
pub mod send;
pub mod sign;
pub mod target;
mod window;

pub use follow::{Post, run};
pub use sign::SigningKey;
pub use target::{Pace, Target};
