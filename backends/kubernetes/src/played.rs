//! Conversations with an API server that is played: what is asked of it, and what becomes of that when answers are
//! lost, refused, late.

mod conversations;
mod server;

pub(crate) use server::{Mishap, Server};
