//! The suite of all stores, with either meaning.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tessera_contract::InstallationId;

use super::{Memory, Semantics};
use crate::store::conformance::{Subject, conformance};

struct InMemory(Semantics);

#[async_trait]
impl Subject for InMemory {
    type Store = Memory;

    async fn fresh(&self) -> Memory {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Memory::new(self.0, InstallationId(format!("memory{number:010}")))
    }

    /// What was answered is stored: a new way to it finds it.
    async fn after_a_kill(&self, store: Memory) -> Memory {
        store
    }
}

mod alone {
    use super::*;
    conformance!(InMemory(Semantics::Alone));
}

mod shared {
    use super::*;
    conformance!(InMemory(Semantics::Shared));
}
