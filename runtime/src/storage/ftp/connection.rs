//! One connection: a command at a time, each answered within a time.

use std::time::Duration;

use suppaftp::tokio::{AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::{FtpError, Status};
use tokio::io::AsyncReadExt;
use tokio::time::{error::Elapsed, timeout};

use super::super::store::Object;
use super::facts::{self, Facts, Kind};
use super::reply::Failed;

/// A transfer of this connection.
pub(super) type Transfer = TransferStream<AsyncRustlsStream>;

/// How long a listing of one directory may be.
const LISTING_BYTES: usize = 128 << 20;

/// A connection that is logged in.
pub(super) struct Connection {
    pub(super) ftp: AsyncRustlsFtpStream,
    /// Where the login landed: relative paths begin there.
    home: String,
    /// Whether it knows `MLST` and `MLSD`.
    machine: bool,
    pub(super) stalled_after: Duration,
    /// Nobody can know any more what it is at.
    pub(super) broken: bool,
}

impl Connection {
    pub(super) fn new(ftp: AsyncRustlsFtpStream, home: String, machine: bool, stalled_after: Duration) -> Self {
        Self { ftp, home, machine, stalled_after, broken: false }
    }

    /// The answer to a command.
    pub(super) fn heard<T>(&mut self, answer: Result<Result<T, FtpError>, Elapsed>) -> Result<T, Failed> {
        let answer = Failed::of(answer, self.stalled_after);
        if let Err(failed) = &answer {
            self.broken |= failed.ends_connection();
        }
        answer
    }

    /// Whether it still answers.
    pub(super) async fn lives(&mut self) -> bool {
        let answer = timeout(self.stalled_after.min(Duration::from_secs(10)), self.ftp.noop()).await;
        self.heard(answer).is_ok()
    }

    /// What stands at a path; `None` when nothing does, as far as the server tells.
    pub(super) async fn look(&mut self, path: &str) -> Result<Option<Object>, Failed> {
        if path.is_empty() {
            return Ok(Some(Object { directory: true, ..Object::default() }));
        }
        if self.machine {
            let answer = timeout(self.stalled_after, self.ftp.mlst(Some(path))).await;
            match self.heard(answer).map(|line| facts::machine(&line)) {
                Ok(Some(Facts { kind: Kind::File | Kind::Directory | Kind::Around, object, .. })) => {
                    return Ok(Some(object));
                }
                Ok(Some(Facts { kind: Kind::Unclear, .. }) | None) => {}
                Err(failed) if failed.is_forbidden() => return Err(failed),
                Err(failed) if failed.is_unseen() => return Ok(None),
                Err(failed) if failed.is_unknown() => self.machine = false,
                Err(failed) => return Err(failed),
            }
        }
        let answer = timeout(self.stalled_after, self.ftp.size(path)).await;
        match self.heard(answer) {
            Ok(size) => {
                let answer =
                    timeout(self.stalled_after, self.ftp.custom_command(format!("MDTM {path}"), &[Status::File]));
                let answer = answer.await;
                let modified = self.heard(answer).ok().map(|reply| String::from_utf8_lossy(&reply.body).into_owned());
                let modified = modified.as_deref().and_then(|text| text.split_whitespace().last());
                Ok(Some(facts::object(u64::try_from(size).ok(), modified)))
            }
            Err(failed) if failed.ends_connection() => Err(failed),
            Err(_) if self.is_directory(path).await? => Ok(Some(Object { directory: true, ..Object::default() })),
            Err(failed) if failed.is_unseen() && !failed.is_forbidden() => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Goes there and back again.
    pub(super) async fn is_directory(&mut self, path: &str) -> Result<bool, Failed> {
        let answer = timeout(self.stalled_after, self.ftp.cwd(path)).await;
        match self.heard(answer) {
            Ok(()) => {
                let back = timeout(self.stalled_after, self.ftp.cwd(&self.home)).await;
                // Relative paths would mean something else from here on.
                self.heard(back).inspect_err(|_| self.broken = true)?;
                Ok(true)
            }
            Err(failed) if failed.ends_connection() => Err(failed),
            Err(_) => Ok(false),
        }
    }

    /// What a directory itself holds.
    pub(super) async fn children(&mut self, path: &str) -> Result<Vec<Facts>, Failed> {
        let argument = if path.is_empty() { String::new() } else { format!(" {path}") };
        if self.machine {
            match self.lines(&format!("MLSD{argument}")).await {
                Ok(lines) => {
                    return lines.iter().map(|line| facts::machine(line).ok_or_else(|| garbled(line))).collect();
                }
                Err(failed) if failed.is_unknown() => self.machine = false,
                Err(failed) => return Err(failed),
            }
        }
        // Many answer with an empty listing when nothing is there.
        if !path.is_empty() && !self.is_directory(path).await? {
            return Err(Failed::Refused { code: 550, words: "to CWD; it is no directory that may be seen".to_owned() });
        }
        let lines = self.lines(&format!("LIST{argument}")).await?;
        let read = lines.iter().filter_map(|line| facts::human(line).map_err(Failed::Hopeless).transpose());
        read.collect()
    }

    async fn lines(&mut self, command: &str) -> Result<Vec<String>, Failed> {
        let begins = [Status::AboutToSend, Status::AlreadyOpen];
        let answer = timeout(self.stalled_after, self.ftp.custom_data_command(command, &begins)).await;
        let (_, mut transfer) = self.heard(answer)?;
        // Until its end was heard.
        self.broken = true;
        let (mut text, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            let read = received(&mut transfer, &mut piece, self.stalled_after).await?;
            if read == 0 {
                break;
            }
            text.extend_from_slice(&piece[..read]);
            if text.len() > LISTING_BYTES {
                return Err(Failed::Hopeless(format!("the listing is longer than {LISTING_BYTES} bytes")));
            }
        }
        self.end(transfer).await?;
        let lines = String::from_utf8_lossy(&text);
        let lines = lines.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Ends a transfer and hears how it went.
    pub(super) async fn end(&mut self, transfer: Transfer) -> Result<(), Failed> {
        self.broken = true;
        let ended = timeout(self.stalled_after, transfer.finish()).await;
        self.broken = false;
        self.heard(ended)
    }
}

fn garbled(line: &str) -> Failed {
    Failed::Hopeless(format!("a line of the listing cannot be read: `{line}`"))
}

/// Some bytes of a transfer; 0 at its end.
pub(super) async fn received(transfer: &mut Transfer, piece: &mut [u8], within: Duration) -> Result<usize, Failed> {
    match timeout(within, transfer.read(piece)).await {
        Ok(Ok(read)) => Ok(read),
        // Encrypted, and without the farewell: the answer that follows says whether it was whole.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
        Ok(Err(error)) => Err(Failed::Broken(format!("the connection was lost: {error}"))),
        Err(_) => Err(Failed::Broken(format!("nothing has arrived for {} s", within.as_secs()))),
    }
}
