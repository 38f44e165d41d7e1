//! The other servers on the store, as far as requests are concerned: what only one of them has is asked of that one,
//! and handed on as it comes.
//!
//! What a task printed lies with the server that took the task last, and a plan that a job fetches with the server that
//! handed the job over; everything else is in the store, and answered by whoever is asked.
//!
//! Invariants:
//! - a request is handed on once: it carries [`FORWARDED`], and whoever gets it answers or refuses;
//! - who calls is found out by each server for itself, from the caller's own `Authorization`;
//! - how long is waited for the head of an answer is bounded; what follows is neither held back nor collected, and ends
//!   with the caller, with this server, or with the other one;
//! - a part of a log is never passed off as all of it: where the other one fails in the middle, so does the answer;
//! - what is lacking of a log is asked of all others before it is said to be lost, and that is said;
//! - a server that is alone on its store knows none of this.
//!
//! Parts, in reading order:
//! - [`whereabouts`]: who has a task's log;
//! - [`headers`]: what goes along, there and back;
//! - [`forward`]: asks another server;
//! - [`elsewhere`]: what is lacking of a log here, and another server kept;
//! - [`later`]: the log of a task that nobody has taken yet; [`moved`]: of one that another server takes meanwhile.

pub mod elsewhere;
pub mod forward;
pub mod headers;
pub mod later;
pub mod moved;
pub mod whereabouts;

pub use forward::{Asking, Peers};
pub use headers::FORWARDED;
