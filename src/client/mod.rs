//! Talks to any TES server, ours or another's.
//!
//! Invariants:
//! - it knows nothing of our server's insides: its wire types are its own, lenient in what they read, and they keep
//!   what they do not know;
//! - every wait is bounded, every error says what was asked of whom;
//! - it never asks twice for something that may have been done: a create whose answer was lost is an error, unless
//!   it has a key by which the server finds the first one.
//!
//! Parts, in reading order:
//! - [`wire`]: tasks as they travel;
//! - [`address`]: where a server is;
//! - [`login`]: who is asking;
//! - [`http`]: the calls;
//! - [`own`]: what Tessera tells beyond TES;
//! - [`stream`]: streams of events; [`printed`]: what tasks print;
//! - [`error`]: what can go wrong, sorted by what the caller does next.

pub mod address;
pub mod error;
pub mod http;
pub mod login;
pub mod own;
pub mod printed;
pub mod stream;
pub mod wire;

pub use address::Address;
pub use error::ClientError;
pub use http::{Client, ListFilter};
pub use login::Login;
pub use printed::{Printed, Said, Wanted};
pub use stream::{Event, Events};
