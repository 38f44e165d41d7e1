//! `tessera serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::printer::Printer;
use super::settings::ConfigFlags;
use crate::config::Override;
use crate::{telemetry, wiring};

/// Run the server until SIGTERM or Ctrl-C; running jobs go on without it
///
/// Prints `listening on http://ADDRESS` when it takes requests. Its log goes to standard error.
#[derive(Debug, Args)]
pub struct Serve {
    /// IP address and port; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,

    /// Serve everybody also beyond loopback, when no logins are configured
    #[arg(long)]
    allow_anonymous: bool,

    /// A file that receives the address, such as `127.0.0.1:41234`, when it takes requests
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigFlags,
}

impl Serve {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let mut flags = Vec::new();
        if let Some(listen) = &self.listen {
            flags.push(Override::flag("--listen", &["server", "listen"], listen.as_str()));
        }
        if self.allow_anonymous {
            flags.push(Override::flag("--allow-anonymous", &["auth", "allow_anonymous"], true));
        }
        let config = self.config.read(flags)?;
        telemetry::start(&config.telemetry);
        let server = wiring::Server::start(config).await?;
        if let Some(path) = &self.port_file {
            write_port_file(path, server.address())
                .map_err(|error| anyhow::anyhow!("cannot write `{}`: {error}", path.display()))?;
        }
        if printer.is_json() {
            printer.json(&serde_json::json!({ "listening": format!("http://{}", server.address()) }))?;
        } else {
            printer.line(&format!("listening on http://{}", server.address()))?;
        }
        Ok(server.run().await?)
    }
}

/// Whoever waits for the file finds it whole.
fn write_port_file(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, format!("{address}\n"))?;
    std::fs::rename(&temporary, path)
}
