//! How a command ends badly: an exit code and a sentence.

use std::fmt;

use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::trouble::Trouble;

use super::exit;
use crate::client::ClientError;
use crate::config::Problems;

/// A command's bad end.
#[derive(Debug)]
pub struct Failure {
    /// One of [`exit`].
    pub code: u8,
    /// For standard error; empty when everything has been said.
    pub message: String,
}

impl Failure {
    /// A bad end with a sentence.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// A bad end of which everything has been said.
    pub fn silent(code: u8) -> Self {
        Self::new(code, String::new())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Unreachable { .. } => exit::UNREACHABLE,
            ClientError::Refused { .. } | ClientError::NotTes { .. } => exit::FAILURE,
            ClientError::Unusable(_) => exit::USAGE,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let code = match trouble.class {
            FaultClass::Unavailable => exit::UNREACHABLE,
            FaultClass::Rejected | FaultClass::Misconfigured | FaultClass::Lost => exit::FAILURE,
        };
        Self::new(code, trouble.message)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(exit::USAGE, format!("the configuration is wrong:\n{problems}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(exit::FAILURE, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(exit::FAILURE, error.to_string())
    }
}
