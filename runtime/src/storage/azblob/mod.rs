//! Azure Blob: one container of one account, over its REST API.
//!
//! - A small file is one Put Blob. A large one is blocks, several at once, each tried again on its own, and then one
//!   list that makes a blob of them: before it nobody sees anything.
//! - A name is sent exactly as it is. Where Azure would change it (`.` and `..` between slashes, backslashes), it
//!   is refused.
//!
//! Parts, in reading order:
//! - [`address`]: the URLs of an account, a container, a blob;
//! - [`credentials`]: with what requests are signed;
//! - [`container`]: the store; [`listing`]: its pages; [`upload`]: how it is written to;
//! - [`refusal`]: what Azure's codes mean.

mod address;
mod container;
mod credentials;
mod listing;
mod refusal;
mod upload;

pub(super) use container::Container;
