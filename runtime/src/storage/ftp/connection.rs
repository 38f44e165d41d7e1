//! One connection: a command at a time, each answered within a time.

use std::time::Duration;

use suppaftp::tokio::{AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::{FtpError, Status};
use tokio::io::AsyncReadExt;
use tokio::time::{error::Elapsed, timeout};

use super::super::store::Object;
use super::super::tree::Held;
use super::facts::{self, Facts, Kind};
use super::reply::Failed;

/// A transfer of this connection.
pub(super) type Transfer = TransferStream<AsyncRustlsStream>;

/// How long a listing of one directory may be.
const LISTING_BYTES: usize = 128 << 20;
/// How long a line of it may be.
const LINE_BYTES: usize = 64 << 10;

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
            let read = |line: &str| facts::machine(line).map(Some).ok_or_else(|| garbled(line));
            match self.listing(&format!("MLSD{argument}"), read).await {
                Ok(found) => return Ok(found),
                Err(failed) if failed.is_unknown() => self.machine = false,
                Err(failed) => return Err(failed),
            }
        }
        // Many answer with an empty listing when nothing is there.
        if !path.is_empty() && !self.is_directory(path).await? {
            return Err(Failed::Refused { code: 550, words: "to CWD; it is no directory that may be seen".to_owned() });
        }
        self.listing(&format!("LIST{argument}"), |line| facts::human(line).map_err(Failed::Hopeless)).await
    }

    async fn listing(
        &mut self,
        command: &str,
        read: impl Fn(&str) -> Result<Option<Facts>, Failed>,
    ) -> Result<Vec<Facts>, Failed> {
        let begins = [Status::AboutToSend, Status::AlreadyOpen];
        let answer = timeout(self.stalled_after, self.ftp.custom_data_command(command, &begins)).await;
        let (_, mut transfer) = self.heard(answer)?;
        // Until its end was heard.
        self.broken = true;
        let (mut lines, mut piece, mut length) = (Lines::new(read), vec![0; 64 * 1024], 0);
        loop {
            let read = received(&mut transfer, &mut piece, self.stalled_after).await?;
            if read == 0 {
                break;
            }
            length += read;
            if length > LISTING_BYTES {
                return Err(Failed::Hopeless(format!("the listing is longer than {LISTING_BYTES} bytes")));
            }
            lines.take(&piece[..read])?;
        }
        self.end(transfer).await?;
        lines.end()
    }

    /// Ends a transfer and hears how it went.
    pub(super) async fn end(&mut self, transfer: Transfer) -> Result<(), Failed> {
        self.broken = true;
        let ended = timeout(self.stalled_after, transfer.finish()).await;
        self.broken = false;
        self.heard(ended)
    }
}

/// A listing, read line by line as it arrives: only what it says is kept.
struct Lines<R> {
    read: R,
    begun: Vec<u8>,
    held: Held,
    found: Vec<Facts>,
}

impl<R: Fn(&str) -> Result<Option<Facts>, Failed>> Lines<R> {
    fn new(read: R) -> Self {
        Self { read, begun: Vec::new(), held: Held::default(), found: Vec::new() }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Failed> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.len() + part.len() > LINE_BYTES {
                return Err(Failed::Hopeless(format!("a line of the listing is longer than {LINE_BYTES} bytes")));
            }
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.line()?;
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<(), Failed> {
        let line = String::from_utf8_lossy(&self.begun);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if !line.is_empty()
            && let Some(facts) = (self.read)(line)?
        {
            self.held.add(facts.name.len()).map_err(Failed::Hopeless)?;
            self.found.push(facts);
        }
        self.begun.clear();
        Ok(())
    }

    fn end(mut self) -> Result<Vec<Facts>, Failed> {
        self.line()?;
        Ok(self.found)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::super::tree::MOST;
    use super::*;

    fn lines() -> Lines<impl Fn(&str) -> Result<Option<Facts>, Failed>> {
        Lines::new(|line| facts::machine(line).map(Some).ok_or_else(|| garbled(line)))
    }

    #[test]
    fn lines_are_read_wherever_a_piece_ends() {
        let listing = b"type=file;size=1; a\r\n\r\ntype=dir; b\n c";
        for cut in 0..listing.len() {
            let mut lines = lines();
            lines.take(&listing[..cut]).unwrap();
            lines.take(&listing[cut..]).unwrap();
            let names: Vec<_> = lines.end().unwrap().into_iter().map(|facts| facts.name).collect();
            assert_eq!(names, ["a", "b", "c"], "{cut}");
        }
        assert!(matches!(lines().take(b"nonsense\n"), Err(Failed::Hopeless(_))));
    }

    #[test]
    fn a_listing_without_an_end_is_refused() {
        let mut endless = lines();
        assert!(endless.take(&vec![b' '; LINE_BYTES]).is_ok());
        assert!(matches!(endless.take(b" "), Err(Failed::Hopeless(_))));
        let mut many = lines();
        many.take(&b" x\n".repeat(MOST)).unwrap();
        assert!(matches!(many.take(b" x\n"), Err(Failed::Hopeless(_))));
    }
}
