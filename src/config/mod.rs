//! Every setting: one TOML file, `TESSERA_…` variables over it, flags over both. Read once, at the start.
//!
//! Invariants:
//! - what is written is what runs: `false`, `0` and `""` win over defaults, lists replace lists;
//! - every wrong key and value is named, with its line, before a port is bound;
//! - defaults stand here (a backend's own with its adapter) and nowhere else;
//! - secrets never print.
//!
//! Parts, in reading order:
//! - this page: the whole;
//! - [`server`], [`auth`], [`store`], [`replica`], [`storage`], [`engine`], [`limits`], [`logs`], [`policy`], [`service_info`],
//!   [`telemetry`], [`events`], [`backends`]: one struct a concern;
//! - [`secret`]: a text that never prints;
//! - [`read()`], [`overrides`], [`problem`]: how it is read, and what is said when it is wrong.

pub mod auth;
pub mod backends;
#[cfg(test)]
mod chart;
pub mod engine;
pub mod events;
pub mod limits;
pub mod logs;
pub mod overrides;
pub mod policy;
pub mod problem;
pub mod read;
pub mod replica;
pub mod secret;
pub mod server;
pub mod service_info;
pub mod storage;
pub mod store;
pub mod telemetry;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use auth::Auth;
pub use backends::{Backend, Backends};
pub use engine::Engine;
pub use events::{Events, HookState, Webhook};
pub use limits::{Amounts, Limits};
pub use logs::Logs;
pub use overrides::Override;
pub use policy::{MissingOutput, Policy, ShowCanceling};
pub use problem::{Problem, Problems};
pub use read::read;
pub use replica::Replica;
pub use secret::Secret;
pub use server::Server;
pub use service_info::ServiceInfo;
pub use storage::Storage;
pub use store::Store;
pub use telemetry::{LogFormat, Telemetry};

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens, where its data lies.
    pub server: Server,
    /// Who may call.
    pub auth: Auth,
    /// Where tasks are remembered.
    pub store: Store,
    /// This server among several on one store.
    pub replica: Replica,
    /// Places that tasks may read from and write to.
    pub storage: Storage,
    /// How tasks are moved.
    pub engine: Engine,
    /// How much a task may use.
    pub limits: Limits,
    /// How much of what tasks print is kept.
    pub logs: Logs,
    /// What the server does where the specification leaves it open.
    pub policy: Policy,
    /// How the server introduces itself.
    pub service_info: ServiceInfo,
    /// What the server says about itself.
    pub telemetry: Telemetry,
    /// What is kept for those who follow their tasks.
    pub events: Events,
    /// Places where tasks run. Read apart from the rest, for its shape depends on each kind.
    #[serde(skip_deserializing)]
    pub backends: Backends,
}
