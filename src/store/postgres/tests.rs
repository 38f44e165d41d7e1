//! The suite of all stores, and what only PostgreSQL promises.
//!
//! They need a server, whose address stands in `TESSERA_TEST_POSTGRES`: the URL of a user who may create databases. Each
//! test makes a schema of its own, and drops it.

#![allow(clippy::unwrap_used)]

mod databases;
mod moving;
mod plans;
mod together;
mod unreadable;
mod upgrading;

use async_trait::async_trait;

use super::Postgres;
use crate::store::conformance::{Subject, conformance};
use databases::Databases;

#[async_trait]
impl Subject for Databases {
    type Store = Postgres;

    async fn fresh(&self) -> Postgres {
        Postgres::open(&self.settings(&self.make().await)).await.unwrap()
    }

    /// A kill leaves the database as it is at that moment, and connections that nobody uses any more.
    async fn after_a_kill(&self, store: Postgres) -> Postgres {
        std::mem::forget(store);
        Postgres::open(&self.settings(&self.last())).await.unwrap()
    }
}

conformance!(Databases::new(), ignore = "needs PostgreSQL; cargo xtask test PostgreSQL");
