//! The Docker backend on real engines.
//!
//! ```text
//! tests/images/build                              once: the images
//! cargo test -p tessera-docker                    Docker, where one answers
//! TESSERA_TEST_PODMAN=SOCKET cargo test …         Podman too (tests/engines/podman starts one)
//! TESSERA_REQUIRE_ENGINES=1 cargo test …          an engine that is missing is a failure
//! ```
//! `TESSERA_RUNTIME_BIN` names the static tool runtime; without it the one below `target/` is taken.
//!
//! Parts: `ground`, what the tests stand on; `conformance`, the promises of every backend; `rules`, the
//! rules of the TES contract that only an engine shows; `stories`, what only this backend does; `proxy`, an engine that goes away; `crash`, nodes that are killed.

#![allow(clippy::unwrap_used, missing_docs)]

mod conformance;
mod crash;
mod ground;
mod progress;
mod proxy;
mod rules;
mod stories;
