//! A deterministic simulation: the engine, a store of either kind, a backend that does as it is told, clocks that are
//! held; and everything that goes wrong, chosen by a seed.
//!
//! Nothing here runs by itself. Each step polls one future that can go on, picked by the seed; when none can, time
//! passes until one can. So a seed is the same world each time, and a seed that fails is a story that can be read:
//!
//! ```text
//! TESSERA_SIMULATION_SEED=alone:42 cargo test -p tessera --test simulation
//! TESSERA_SIMULATION_STEPS=1000000 cargo test -p tessera --test simulation      so many steps, from the first seed on
//! TESSERA_SIMULATION_FROM=7000 …                                                from another seed on
//! TESSERA_SIMULATION_SEEKS='cancel wins' …                                      until a seed breaks this, whatever else breaks
//! TESSERA_SIMULATION_MINUTES=30 …                                               for so long (`cargo xtask soak --kind simulation`)
//! ```
//!
//! Parts, in reading order:
//! - `invariants`: what must be true; `watch`, `network` and `ending` see whether it is;
//! - `dice`, `executor`, `several`: chance, who is polled, time;
//! - `world`, `server`, `caller`: who is in it;
//! - `faults`, `way`, `network`: what goes wrong with servers, on the way to the store, on the way to a backend;
//! - `ending`: a seed from its beginning to its end; `story`, `tally`: what is told of it;
//! - `seeds`: many of them; `found`: those that have once found something; `noticed`: each invariant seen to fail.

#![allow(clippy::unwrap_used)]

mod caller;
mod dice;
mod ending;
mod executor;
mod faults;
mod found;
mod invariants;
mod network;
mod noticed;
mod seeds;
mod server;
mod several;
mod story;
mod tally;
mod watch;
mod way;
mod world;
