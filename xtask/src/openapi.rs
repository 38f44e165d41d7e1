//! `cargo xtask openapi`: the documents in `openapi/`, from the code.

use anyhow::Result;

use crate::command::{loud, program};

pub(crate) fn run() -> Result<()> {
    // The test that fails when a document is stale writes it instead, when it is asked to.
    let mut command =
        program(&["cargo", "test", "--quiet", "--package", "tessera", "--test", "tes", "openapi_documents"]);
    loud(command.env("TESSERA_WRITE_OPENAPI", "1"))
}
