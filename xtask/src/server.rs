//! A Tessera of our own: on a free port, with a folder of its own, ended when dropped.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::{end, program, shown, until};
use crate::http;

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The command line it was started with.
    pub(crate) shown: String,
    /// What it logs.
    pub(crate) log: PathBuf,
    keep: bool,
}

impl Server {
    /// Starts `binary` with its data in `folder`, where tasks may read and write below `folder/files`, and with these
    /// settings beside.
    pub(crate) fn start(binary: &Path, folder: &Path, settings: &str) -> Result<Self> {
        let files = folder.join("files");
        fs::create_dir_all(&files)?;
        let config = folder.join("tessera.toml");
        let roots = format!("[storage.file]\nroots = [{:?}]\n{settings}", files.display().to_string());
        fs::write(&config, roots)?;
        let address = free_address()?;
        let log = folder.join("server.log");
        let file = File::create(&log)?;
        let mut command = program(&[binary.to_string_lossy().as_ref(), "serve", "--listen", &address.to_string()]);
        command.arg("--data").arg(folder.join("data")).arg("--config").arg(&config);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // A Ctrl-C is for us: the server is ended in order, or left alone.
        command.process_group(0);
        let shown = shown(&command);
        let child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
        let mut server = Self { child, address, shown, log, keep: false };
        server.await_ready()?;
        Ok(server)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Leaves it running when this is dropped.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }

    fn await_ready(&mut self) -> Result<()> {
        let (address, log) = (self.address, self.log.clone());
        let child = &mut self.child;
        until("the server to be ready", Duration::from_secs(60), || {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended ({status}) before it was ready:\n{}", fs::read_to_string(&log)?);
            }
            Ok(http::request(address, "GET", "/readyz", None).ok().filter(|(status, _)| *status == 200).map(|_| ()))
        })
        .with_context(|| format!("its log is {}", log.display()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.keep {
            end(&mut self.child, Duration::from_secs(15));
        }
    }
}

/// A port of loopback that nobody listens on right now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?)
}
