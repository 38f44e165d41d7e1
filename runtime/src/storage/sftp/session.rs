//! A connection with what its server can do, and the answers to single requests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::client::Handle;
use russh_sftp::client::error::Error;
use russh_sftp::client::rawsession::Limits;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tokio::time::timeout;

use super::super::client::causes;
use super::super::store::{Object, Tag};
use super::super::trouble::Trouble;
use super::connect::Host;

/// The largest piece that is asked for at once; servers that tell their limits tell this one.
const PIECE: u32 = 255 * 1024;
/// What every server has to take (draft-ietf-secsh-filexfer-02, 3).
const SAFE_PIECE: u32 = 32 * 1024;
/// What may be under way in bytes; and in requests.
const UNDER_WAY: u32 = 4 << 20;

/// A session. Requests may be under way side by side.
pub(super) struct Session {
    ssh: Handle<Host>,
    pub(super) sftp: RawSftpSession,
    pub(super) read_piece: u32,
    pub(super) write_piece: u32,
    pub(super) can_sync: bool,
    pub(super) can_replace: bool,
    pub(super) stalled_after: Duration,
    broken: AtomicBool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) async fn open(ssh: Handle<Host>, stalled_after: Duration, what: &str) -> Result<Self, Trouble> {
        let opening = async {
            let lost = |error: russh::Error| Trouble::unavailable(format!("{what}: {}", causes(&error)));
            let channel = ssh.channel_open_session().await.map_err(lost)?;
            channel.request_subsystem(true, "sftp").await.map_err(lost)?;
            // Requests wait for those before them, so the clock that counts is another one.
            let patient = stalled_after.as_secs().saturating_add(1).saturating_mul(60);
            let config = Config { request_timeout_secs: patient, ..Config::default() };
            let mut sftp = RawSftpSession::new_with_config(channel.into_stream(), config);
            let failed = |error: Error| Trouble::unavailable(format!("{what}: {error}"));
            let version = sftp.init().await.map_err(failed)?;
            let has = |name: &str| version.extensions.contains_key(name);
            let (mut read_piece, mut write_piece) = (SAFE_PIECE, SAFE_PIECE);
            if has("limits@openssh.com") {
                let limits = Limits::from(sftp.limits().await.map_err(failed)?);
                let within = |told: Option<u64>| {
                    told.map_or(SAFE_PIECE, |told| u32::try_from(told).unwrap_or(PIECE).clamp(1024, PIECE))
                };
                (read_piece, write_piece) = (within(limits.read_len), within(limits.write_len));
                sftp.set_limits(limits);
            }
            Ok::<_, Trouble>((sftp, read_piece, write_piece, has("fsync@openssh.com"), has("posix-rename@openssh.com")))
        };
        match timeout(stalled_after, opening).await {
            Ok(opened) => {
                let (sftp, read_piece, write_piece, can_sync, can_replace) = opened?;
                let broken = AtomicBool::new(false);
                Ok(Self { ssh, sftp, read_piece, write_piece, can_sync, can_replace, stalled_after, broken })
            }
            Err(_) => {
                let seconds = stalled_after.as_secs();
                Err(Trouble::unavailable(format!("{what}: it speaks no SFTP, or has not answered for {seconds} s")))
            }
        }
    }

    /// Whether it can be used for the next request.
    pub(super) fn lives(&self) -> bool {
        !self.broken.load(Ordering::Relaxed) && !self.ssh.is_closed()
    }

    /// How many requests of a size may be under way.
    pub(super) fn side_by_side(piece: u32) -> usize {
        usize::try_from(UNDER_WAY / piece).unwrap_or(16).clamp(16, 64)
    }

    /// The answer to a request; `Err` tells what it means too.
    pub(super) async fn heard<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, StatusCode>, Trouble> {
        match timeout(self.stalled_after, request).await {
            Ok(Ok(answer)) => Ok(Ok(answer)),
            Ok(Err(Error::Status(status))) => Ok(Err(status.status_code)),
            Ok(Err(Error::Limited(why))) => Err(Trouble::unavailable(format!("{what}: {why}"))),
            Ok(Err(error)) => {
                self.broken.store(true, Ordering::Relaxed);
                Err(Trouble::unavailable(format!("{what}: the connection failed: {error}")))
            }
            Err(_) => {
                self.broken.store(true, Ordering::Relaxed);
                let seconds = self.stalled_after.as_secs();
                Err(Trouble::unavailable(format!("{what}: the server has not answered for {seconds} s")))
            }
        }
    }

    /// The same where any refusal is a trouble.
    pub(super) async fn done<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Trouble> {
        self.heard(what, request).await?.map_err(|code| refused(what, code))
    }

    /// What stands at a path, at the end of links.
    pub(super) async fn look(&self, path: &str, what: &str) -> Result<Option<FileAttributes>, Trouble> {
        match self.heard(what, self.sftp.stat(path)).await? {
            Ok(found) => Ok(Some(found.attrs)),
            Err(StatusCode::NoSuchFile) => Ok(None),
            Err(code) => Err(refused(what, code)),
        }
    }

    /// Gives a name that something else may have, at one stroke.
    pub(super) async fn replace(&self, from: &str, to: &str) -> Result<(), Error> {
        let mut names = Vec::new();
        for name in [from, to] {
            names.extend(u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
            names.extend(name.as_bytes());
        }
        let Packet::Status(status) = self.sftp.extended("posix-rename@openssh.com", names).await? else {
            return Err(Error::UnexpectedPacket);
        };
        if status.status_code == StatusCode::Ok { Ok(()) } else { Err(Error::Status(status)) }
    }
}

/// What a refusal means.
pub(super) fn refused(what: &str, code: StatusCode) -> Trouble {
    let message = format!("{what}: the server answered `{code}`");
    match code {
        StatusCode::NoSuchFile => Trouble::absent(message),
        StatusCode::PermissionDenied | StatusCode::OpUnsupported => Trouble::misconfigured(message),
        StatusCode::BadMessage => Trouble::rejected(message),
        // It says no more, whether a disk is full or something broke.
        StatusCode::Failure | StatusCode::NoConnection | StatusCode::ConnectionLost => Trouble::unavailable(message),
        StatusCode::Ok | StatusCode::Eof => Trouble::unavailable(message),
    }
}

/// What attributes say of an object.
pub(super) fn object(attributes: &FileAttributes) -> Object {
    if kind(attributes) == Some(Kind::Directory) {
        return Object { directory: true, ..Object::default() };
    }
    let tag = attributes.size.zip(attributes.mtime).map(|(size, time)| Tag(format!("{size}@{time}")));
    let modified = attributes.mtime.and_then(|time| jiff::Timestamp::from_second(i64::from(time)).ok());
    Object { size: attributes.size, tag, modified, ..Object::default() }
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    /// A device, a pipe: reading it might never end.
    Special,
}

/// `None` where the server does not tell.
pub(super) fn kind(attributes: &FileAttributes) -> Option<Kind> {
    match attributes.permissions? & 0o170_000 {
        0 => None,
        0o100_000 => Some(Kind::File),
        0o040_000 => Some(Kind::Directory),
        0o120_000 => Some(Kind::Link),
        _ => Some(Kind::Special),
    }
}

/// An open file or directory; it is closed when it is dropped.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) handle: String,
}

impl Opened {
    pub(super) async fn file(
        session: &Arc<Session>,
        path: &str,
        flags: OpenFlags,
        what: &str,
    ) -> Result<Result<Self, StatusCode>, Trouble> {
        let opening = session.sftp.open(path, flags, FileAttributes::default());
        let opened = session.heard(what, opening).await?;
        Ok(opened.map(|opened| Self { session: Arc::clone(session), handle: opened.handle }))
    }

    pub(super) async fn directory(session: &Arc<Session>, path: &str, what: &str) -> Result<Self, Trouble> {
        let opened = session.done(what, session.sftp.opendir(path)).await?;
        Ok(Self { session: Arc::clone(session), handle: opened.handle })
    }

    /// Closes it, and says whether that went well.
    pub(super) async fn close(mut self, what: &str) -> Result<(), Trouble> {
        let handle = std::mem::take(&mut self.handle);
        self.session.done(what, self.session.sftp.close(handle)).await.map(|_| ())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.handle.is_empty() || !self.session.lives() {
            return;
        }
        // Servers have few; and this runs where a body is dropped half-way.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (session, handle) = (Arc::clone(&self.session), std::mem::take(&mut self.handle));
            runtime.spawn(async move { session.sftp.close(handle).await });
        }
    }
}
