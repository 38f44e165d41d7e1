//! `cargo xtask contract`: `docs/contract.md`, from the list of rules and the names of the tests.

use anyhow::Result;

use crate::command::{loud, program};

pub(crate) fn run() -> Result<()> {
    // The test that fails when the page is stale writes it instead, when it is asked to.
    let mut command =
        program(&["cargo", "test", "--quiet", "--package", "tessera", "--test", "contract", "the_page_is_current"]);
    loud(command.env("TESSERA_WRITE_CONTRACT", "1"))
}
