//! A database cluster of one test: made, stopped, killed and filled as the test likes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tokio_postgres::{Client, NoTls};

const USER: &str = "postgres";

/// A cluster; stopped when dropped.
pub struct Cluster {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    /// A file system of its own, to be filled.
    mounted: bool,
}

impl Cluster {
    /// A running one.
    pub fn new(settings: &str) -> Self {
        Self::on(false, settings)
    }

    /// A running one on a small disk of its own.
    pub fn on_a_small_disk(settings: &str) -> Self {
        Self::on(true, settings)
    }

    fn on(mounted: bool, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { programs: programs(), folder, port, mounted };
        let place = cluster.folder.path().join("place");
        std::fs::create_dir(&place).unwrap();
        if mounted {
            let mut mount = Command::new("mount");
            run(mount.args(["-t", "tmpfs", "-o", "size=112m", "tmpfs"]).arg(&place));
        }
        if is_root() {
            run(Command::new("chown").args([USER, "--"]).arg(&place));
        }
        cluster.copy(empty(), "data");
        let file = cluster.data().join("postgresql.conf");
        let known = std::fs::read_to_string(&file).unwrap();
        let ours = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 30\n\
             fsync = off\nshared_buffers = 16MB\nmax_wal_size = 16MB\nmin_wal_size = 2MB\n{settings}\n"
        );
        std::fs::write(&file, known + &ours).unwrap();
        cluster.start();
        cluster
    }

    /// A copy of its files as they are now, which follows it: read-only until it is promoted.
    pub fn standby(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let standby = Self { programs: programs(), folder, port, mounted: false };
        let place = standby.folder.path().join("place");
        std::fs::create_dir(&place).unwrap();
        if is_root() {
            run(Command::new("chown").args([USER, "--"]).arg(&place));
        }
        let mut copy = self.program("pg_basebackup");
        copy.args([
            "--username",
            USER,
            "--host",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
            "--checkpoint",
            "fast",
        ]);
        run(copy.args(["--no-sync", "--write-recovery-conf", "--pgdata"]).arg(standby.data()));
        let file = standby.data().join("postgresql.conf");
        let known = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{known}\nport = {port}\n")).unwrap();
        standby.start();
        standby
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        run(self.program("pg_ctl").arg("-D").arg(self.data()).args(["-w", "promote"]));
    }

    /// Puts a file for its own eyes among its files.
    pub fn put(&self, name: &str, file: &Path) {
        let to = self.data().join(name);
        std::fs::copy(file, &to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            run(Command::new("chown").args([USER, "--"]).arg(&to));
        }
    }

    fn copy(&self, from: &Path, name: &str) {
        let to = self.folder.path().join("place").join(name);
        run(Command::new("cp").args(["--archive", "--"]).arg(from).arg(to));
    }

    /// Starts it, and returns when it answers.
    pub fn start(&self) {
        let mut start = self.program("pg_ctl");
        start.arg("-D").arg(self.data()).args(["-w", "-t", "60", "-l"]).arg(self.data().join("log")).arg("start");
        run(&mut start);
    }

    /// Stops it: `fast` ends connections, `immediate` is a crash.
    pub fn stop(&self, how: &str) {
        run(self.program("pg_ctl").arg("-D").arg(self.data()).args(["-m", how, "-w", "stop"]));
    }

    /// Whether its first process lives.
    pub fn runs(&self) -> bool {
        let mut status = self.program("pg_ctl");
        status.arg("-D").arg(self.data()).arg("status").stdout(Stdio::null()).stderr(Stdio::null());
        status.status().unwrap().success()
    }

    /// Its port of loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("place/data")
    }

    /// The file that takes up all room of its disk.
    pub fn filler(&self) -> PathBuf {
        self.folder.path().join("place/filler")
    }

    /// The address of a database in it, by way of a port.
    pub fn url(&self, port: u16, database: &str) -> String {
        format!("postgresql://{USER}@127.0.0.1:{port}/{database}")
    }

    /// A connection past any proxy.
    pub async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(self.port, "postgres"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Says something to it.
    pub async fn say(&self, statement: &str) {
        self.connect().await.batch_execute(statement).await.unwrap();
    }

    fn program(&self, name: &str) -> Command {
        as_user(&self.programs.join(name))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "stop"]);
        stop.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
        if self.mounted {
            Command::new("umount").arg(self.folder.path().join("place")).status().ok();
        }
    }
}

/// The files of an empty cluster, made once: a copy is made in a moment.
fn empty() -> &'static Path {
    static EMPTY: OnceLock<tempfile::TempDir> = OnceLock::new();
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    let folder = EMPTY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").args([USER, "--"]).arg(folder.path()));
        }
        let mut make = as_user(&programs().join("initdb"));
        make.arg("--pgdata").arg(folder.path().join("data"));
        make.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]);
        run(make.args(["--wal-segsize", "1"]));
        folder
    });
    DATA.get_or_init(|| folder.path().join("data"))
}

/// A program as the user of the database.
fn as_user(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", USER, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

/// Root, as in CI; then PostgreSQL runs as its own user, and disks can be mounted.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The newest that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed").flatten();
    let numbered = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    numbered.filter(|(_, path)| path.join("bin/initdb").is_file()).max().expect("PostgreSQL is installed").1.join("bin")
}

fn run(command: &mut Command) {
    // Not a pipe: what it starts would keep it open.
    let said = tempfile::tempfile().unwrap();
    command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said.try_clone().unwrap());
    let status = command.status().unwrap();
    let mut text = String::new();
    std::io::Seek::rewind(&mut &said).unwrap();
    std::io::Read::read_to_string(&mut &said, &mut text).unwrap();
    assert!(status.success(), "{command:?}: {status}\n{text}");
}

/// Takes up all that is left of a disk.
pub fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).unwrap();
    for piece in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![b'x'; piece]).is_ok() {}
    }
}
