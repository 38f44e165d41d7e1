//! The Kubernetes backend on a real cluster.
//!
//! ```text
//! tests/cluster/run up DIR                                  once: a cluster of one node, and what to export
//! tests/images/build && tests/cluster/run import DIR …      its images: busybox, scratch, …, runtime
//! cargo test -p tessera-kubernetes --test cluster           the cluster of KUBECONFIG, where one answers
//! TESSERA_REQUIRE_CLUSTER=1 cargo test …                    a cluster that is missing is a failure
//! ```
//! `TESSERA_TEST_CLUSTER_HOST` is this machine as pods see it; without it the file `host` beside the kubeconfig says so.
//! The node has to be this machine, for jobs read and write its folders. `TESSERA_TEST_CLUSTER` is the cluster's own
//! folder and `TESSERA_TEST_AUDIT_LOG` the log of its API server; what needs them says so in a line where they are
//! missing.
//!
//! Parts: `place`, the cluster and a namespace of our own; `ground`, what the tests stand on; `outside`, a small server
//! that jobs call; `over`, how jobs end; `conformance`, the promises of every backend; `rules`, the rules of the TES
//! contract that only an engine shows; `faults` and `refusals`, what goes wrong in a cluster; `words`, names, many
//! inputs, large plans; `processes` and `killed`, wrappers that are killed from their node; `node`, a kubelet that is;
//! `proxy` and `api`, an API server that is away, slow, or lies; `access`, credentials that do not fit.

#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod api;
mod conformance;
mod faults;
mod ground;
mod killed;
mod node;
mod outside;
mod over;
mod place;
mod processes;
mod proxy;
mod refusals;
mod rules;
mod words;
