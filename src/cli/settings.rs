//! Where the configuration of a command comes from.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::config::{self, Config, Override};

/// Flags of every command that works with the configuration. They win over variables, which win over the file.
#[derive(Debug, Clone, Args)]
pub struct ConfigFlags {
    /// Configuration, TOML; `tessera.example.toml` explains every setting
    #[arg(long, value_name = "FILE", env = "TESSERA_CONFIG")]
    config: Option<PathBuf>,

    /// Folder of everything the server remembers [default: ./tessera-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl ConfigFlags {
    /// Reads the configuration: the file, then the environment, then the flags.
    pub fn read(&self, more: Vec<Override>) -> Result<Config, Failure> {
        let variables = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.to_string_lossy().into_owned())));
        let mut overrides = config::overrides::from_environment(variables);
        if let Some(data) = &self.data {
            let Some(text) = data.to_str() else {
                return Err(Failure::usage(format!("--data: `{}` is not valid UTF-8", data.display())));
            };
            overrides.push(Override::flag("--data", &["server", "data_dir"], text));
        }
        overrides.extend(more);
        Ok(config::read(self.config.as_deref(), overrides)?)
    }
}
