//! A PostgreSQL of our own: the newest that is installed, in a folder that goes, on a free port of loopback.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::{end, program, said, succeeds, until};
use crate::house;

/// Names a server of the user's own, whose user may create databases: nothing is started.
const GIVEN: &str = "TESSERA_TEST_POSTGRES";

/// Where Debian puts its versions.
const VERSIONS: &str = "/usr/lib/postgresql";

/// It refuses to run as root; Debian's package makes this user.
const USER: &str = "postgres";

/// Connections at once: the suites are bounded, and a server that opens more is to be noticed.
const CONNECTIONS: u32 = 60;

/// A server, up; down when dropped, unless it is the user's.
pub(crate) struct Postgres {
    /// Nothing when it is the user's, or is to stay.
    process: Option<Child>,
    folder: Option<PathBuf>,
    /// For whoever uses it: its address.
    pub(crate) variables: Vec<(String, String)>,
}

impl Postgres {
    /// An empty one, in a folder of the command's own.
    pub(crate) fn up(command: &str) -> Result<Self> {
        if let Some(url) = std::env::var(GIVEN).ok().filter(|url| !url.is_empty()) {
            println!("  the PostgreSQL that {GIVEN} names");
            return Ok(Self { process: None, folder: None, variables: vec![(GIVEN.to_owned(), url)] });
        }
        let programs = programs()?;
        let folder = folder(command);
        // Left over from a run that was killed.
        stop(&programs, &folder);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let user = format!("{USER}:{USER}");
        let data = folder.join("data");
        if is_root() {
            said(program(&["chown", &user]).arg(&folder))?;
        }
        let mut make = as_user(&programs.join("initdb"));
        make.arg("--pgdata").arg(&data);
        make.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]);
        said(&mut make).context("cannot make a database cluster")?;
        // The settings are in the file, so that whoever stops it for a test may start it again as it was.
        let port = TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?.port();
        // What is tested survives deaths of programs, not of this machine: nobody waits for its disk. Who measures does.
        let fsync = if command == "test" { "off" } else { "on" };
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n\
             max_connections = {CONNECTIONS}\nfsync = {fsync}\nshared_buffers = 128MB\nlog_min_messages = fatal\n"
        );
        let file = data.join("postgresql.conf");
        let known = fs::read_to_string(&file)?;
        fs::write(&file, known + &settings)?;
        Self::start(&programs, folder, port)
    }

    /// The one of this command, which runs.
    pub(crate) fn running(command: &str) -> Result<Self> {
        let folder = folder(command);
        let lines = fs::read_to_string(folder.join("data/postmaster.pid")).context("it does not run")?;
        let port = lines.lines().nth(3).context("it has only begun to start")?.parse()?;
        Ok(Self { process: None, folder: None, variables: variables(port) })
    }

    /// Ends the one of this command, and forgets what was in it.
    pub(crate) fn down(command: &str) -> Result<()> {
        let folder = folder(command);
        stop(&programs()?, &folder);
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }

    /// Leaves it running when this is dropped.
    pub(crate) fn keep(&mut self) {
        (self.process, self.folder) = (None, None);
    }

    fn start(programs: &Path, folder: PathBuf, port: u16) -> Result<Self> {
        let log = folder.join("log");
        let file = File::create(&log)?;
        let mut command = as_user(&programs.join("postgres"));
        command.arg("-D").arg(folder.join("data")).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // A Ctrl-C is for us: it is stopped in order.
        let process = command.process_group(0).spawn().context("cannot start PostgreSQL")?;
        let mut server = Self { process: Some(process), folder: Some(folder), variables: variables(port) };
        let is_ready = programs.join("pg_isready").to_string_lossy().into_owned();
        until("PostgreSQL", Duration::from_secs(60), || {
            if let Some(child) = server.process.as_mut()
                && let Some(status) = child.try_wait()?
            {
                bail!("PostgreSQL ended ({status}):\n{}", fs::read_to_string(&log)?);
            }
            let ready = succeeds(&mut program(&[&is_ready, "-q", "-h", "127.0.0.1", "-p", &port.to_string()]));
            Ok(ready.then_some(()))
        })?;
        Ok(server)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        if let Ok(programs) = programs() {
            stop(&programs, &folder);
        }
        if let Some(child) = self.process.as_mut() {
            end(child, Duration::from_secs(10));
        }
        if fs::remove_dir_all(&folder).is_err() {
            eprintln!("xtask: {} is left behind", folder.display());
        }
    }
}

/// A database on a server, gone when dropped.
pub(crate) struct Database {
    server: String,
    name: String,
    /// Where it is.
    pub(crate) url: String,
}

impl Database {
    /// An empty one, on the server that these variables name.
    pub(crate) fn create(variables: &[(String, String)], of: &str) -> Result<Self> {
        let named = variables.iter().find(|(name, _)| name == GIVEN);
        let (_, server) = named.with_context(|| format!("{GIVEN} names no server"))?.clone();
        let name = format!("{of}_{}", std::process::id());
        let (before, after) = server.rsplit_once('/').context("the server's URL names no database")?;
        let options = after.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
        let url = format!("{before}/{name}{options}");
        let made = Self { server, name, url };
        made.says(&format!("CREATE DATABASE {}", made.name))?;
        Ok(made)
    }

    fn says(&self, sql: &str) -> Result<()> {
        let psql = programs()?.join("psql").to_string_lossy().into_owned();
        said(program(&[&psql, "--no-psqlrc", "--quiet"]).args(["--dbname", &self.server, "--command", sql])).map(drop)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.says(&format!("DROP DATABASE {} WITH (FORCE)", self.name)) {
            eprintln!("xtask: the database {} is left behind: {error:#}", self.name);
        }
    }
}

fn variables(port: u16) -> Vec<(String, String)> {
    vec![(GIVEN.to_owned(), format!("postgresql://{USER}@127.0.0.1:{port}/postgres"))]
}

/// A folder that the user of the database may enter, which those below somebody's home are not.
fn folder(command: &str) -> PathBuf {
    let place = house::target().to_string_lossy().into_owned();
    // One a target folder and command, as other scratch folders are.
    let mark = place
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    std::env::temp_dir().join(format!("tessera-postgres-{command}-{mark:016x}"))
}

/// Ends the server of a folder, however it was started; a fast stop, which waits for nobody.
fn stop(programs: &Path, folder: &Path) {
    let data = folder.join("data");
    if data.join("postmaster.pid").exists() {
        let mut command = as_user(&programs.join("pg_ctl"));
        succeeds(command.arg("-D").arg(data).args(["-m", "fast", "-w", "-t", "30", "stop"]));
    }
}

/// The programs of the newest version.
pub(crate) fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).context("PostgreSQL is not installed: install postgresql")?;
    let newest = versions
        .flatten()
        .filter(|entry| entry.path().join("bin/initdb").is_file())
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .max();
    Ok(newest.context("PostgreSQL is not installed: install postgresql")?.1.join("bin"))
}

fn as_user(binary: &Path) -> Command {
    let binary = binary.to_string_lossy().into_owned();
    let mut command = if is_root() { program(&["runuser", "-u", USER, "--", &binary]) } else { program(&[&binary]) };
    // Its user may not enter the repository.
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    said(&mut program(&["id", "-u"])).is_ok_and(|uid| uid.trim() == "0")
}
