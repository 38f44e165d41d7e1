//! `cargo xtask openapi`: the documents in `openapi/`, from the code.

use anyhow::Result;

use crate::command::{loud, program};

/// The test that fails while a document is stale writes it instead, when it is asked to.
pub(crate) fn run() -> Result<()> {
    let words = ["cargo", "test", "--quiet", "--package", "tessera", "--test", "tes", "openapi_documents_are_current"];
    loud(program(&words).env("UPDATE_OPENAPI", "1"))
}
