//! The release server, on a free port, with a folder of its own; ended when dropped.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Names another build of the server, to compare with.
const PROGRAM: &str = "TESSERA_BENCH_SERVER";

/// A server that runs.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the start of the program to its first answer.
    pub start_up: Duration,
}

impl Server {
    /// Starts it in `folder`, which may hold the data of a former one, with these settings.
    pub fn start(folder: &Path, settings: &str) -> Result<Self> {
        let config = folder.join("tessera.toml");
        fs::write(&config, settings)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(folder.join("server.log"))?;
        let program = std::env::var(PROGRAM).unwrap_or_else(|_| env!("CARGO_BIN_EXE_tessera").to_owned());
        let mut command = Command::new(program);
        command.args(["serve", "--listen", &address.to_string(), "--config"]).arg(&config);
        command.arg("--data").arg(folder.join("data")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let began = Instant::now();
        let mut child = command.spawn().context("cannot start the server")?;
        while !answers(address) {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended ({status}): {}", fs::read_to_string(folder.join("server.log"))?);
            }
            if began.elapsed() > Duration::from_secs(30) {
                let _ = child.kill();
                bail!("the server does not answer: {}", fs::read_to_string(folder.join("server.log"))?);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Self { child, address, start_up: began.elapsed() })
    }

    /// Its resident memory.
    pub fn resident_mb(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kb: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kb / 1024.0)
    }

    /// The time of processors that it has used.
    pub fn processor_ms(&self) -> Result<f64> {
        let about = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = about.rsplit_once(") ").context("no name")?;
        // User and system time, in ticks of 10 ms.
        let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() * 10.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}
