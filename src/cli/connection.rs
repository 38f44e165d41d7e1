//! Which server a command talks to, and as whom.

use clap::Args;

use super::failure::Failure;
use crate::client::{Address, Client, Login};

/// Flags of every command that talks to a server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct Connection {
    /// The server; an address that ends in `/v1` is taken as it is, any other gets `/ga4gh/tes/v1`
    #[arg(long, value_name = "URL", env = "TESSERA_SERVER", default_value = "http://127.0.0.1:8000")]
    server: String,

    /// Bearer token; better set as a variable, where other users of the machine do not see it
    #[arg(long, value_name = "TOKEN", env = "TESSERA_TOKEN", hide_env_values = true, conflicts_with = "user")]
    token: Option<String>,

    /// User name for Basic login
    #[arg(long, value_name = "NAME", env = "TESSERA_USER")]
    user: Option<String>,

    /// Password for Basic login; better set as a variable
    #[arg(long, value_name = "PASSWORD", env = "TESSERA_PASSWORD", hide_env_values = true, requires = "user")]
    password: Option<String>,
}

impl Connection {
    /// The client for these flags.
    pub fn client(&self) -> Result<Client, Failure> {
        let login = match (&self.token, &self.user) {
            (Some(token), _) => Login::Bearer(token.clone()),
            (None, Some(user)) => {
                Login::Basic { user: user.clone(), password: self.password.clone().unwrap_or_default() }
            }
            (None, None) => Login::Anonymous,
        };
        Ok(Client::new(Address::parse(&self.server)?, login)?)
    }
}
