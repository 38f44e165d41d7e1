//! The storage: looking, reading, listing.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt, try_unfold};
use russh_sftp::protocol::{OpenFlags, StatusCode};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::source::Source;
use super::super::storages::Opening;
use super::super::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use super::super::tree::{Held, Known, Walk, below, on_the_way};
use super::super::trouble::{Patience, Trouble, Why};
use super::connect::Door;
use super::session::{Kind, Opened, Session, kind, object, refused};

/// One host, and one login there.
pub(in super::super) struct Sftp {
    door: Door,
    session: Mutex<Option<Arc<Session>>>,
    pub(super) known: Known,
    pub(super) patience: Patience,
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp").field("door", &self.door).finish_non_exhaustive()
    }
}

impl Sftp {
    pub(in super::super) fn new(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let door = Door::new(opening)?;
        Ok(Self { door, session: Mutex::default(), known: Known::default(), patience: opening.patience })
    }

    /// A key as messages name it.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.door.base)
    }

    /// The session, or a new one where it broke.
    pub(super) async fn session(&self, what: &str) -> Result<Arc<Session>, Trouble> {
        let mut current = self.session.lock().await;
        if let Some(session) = current.as_ref().filter(|session| session.lives()) {
            return Ok(Arc::clone(session));
        }
        // What hangs on the old one ends with it.
        *current = None;
        let entered = self.door.enter().await;
        let entered = entered.map_err(|trouble| Trouble { message: format!("{what}: {}", trouble.message), ..trouble });
        let session = Arc::new(entered?);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn children(&self, key: &str, what: &str) -> Result<Vec<(String, Object)>, Trouble> {
        let session = self.session(what).await?;
        let directory = path(key);
        match session.look(&directory, what).await? {
            None => return Err(Trouble::absent(format!("{what}: nothing is there"))),
            Some(there) if kind(&there).is_some_and(|kind| kind != Kind::Directory) => {
                return Err(Trouble::rejected(format!("{what}: it is a file, not a directory")));
            }
            Some(_) => {}
        }
        let opened = Opened::directory(&session, &directory, what).await?;
        let (mut children, mut held) = (Vec::new(), Held::default());
        let too_much = |why: String| Trouble::rejected(format!("{what}: {why}"));
        loop {
            let names = match session.heard(what, session.sftp.readdir(opened.handle.as_str())).await? {
                Ok(names) => names.files,
                Err(StatusCode::Eof) => break,
                Err(code) => return Err(refused(what, code)),
            };
            // One that goes on and says nothing has to come to an end too.
            if names.is_empty() {
                held.add(0).map_err(too_much)?;
            }
            for child in names {
                held.add(child.filename.len()).map_err(too_much)?;
                if matches!(child.filename.as_str(), "." | "..") {
                    continue;
                }
                let told = match kind(&child.attrs) {
                    Some(Kind::File | Kind::Directory) => Some(child.attrs),
                    Some(Kind::Special) => None,
                    // A link that leads nowhere is nothing.
                    Some(Kind::Link) | None => {
                        let target = path(&below(key, &child.filename));
                        session.look(&target, what).await?.filter(|target| kind(target) != Some(Kind::Special))
                    }
                };
                children.extend(told.map(|told| (child.filename, object(&told))));
            }
        }
        opened.close(what).await?;
        Ok(children)
    }
}

/// The absolute path of a key.
pub(super) fn path(key: &str) -> String {
    format!("/{}", key.trim_matches('/'))
}

/// A stretch of a file, whole unless the file ends.
async fn piece(opened: Arc<Opened>, at: u64, length: u32, what: Arc<str>) -> Result<Bytes, Trouble> {
    let sftp = &opened.session.sftp;
    let mut piece = BytesMut::new();
    // Servers may answer with less than they were asked for.
    while piece.len() < length as usize {
        let missing = length - u32::try_from(piece.len()).unwrap_or(length);
        match sftp.read(opened.handle.as_str(), at + piece.len() as u64, missing).await {
            Ok(read) if read.data.is_empty() => break,
            Ok(read) if piece.is_empty() && read.data.len() >= length as usize => return Ok(Bytes::from(read.data)),
            Ok(read) => piece.extend_from_slice(&read.data),
            Err(russh_sftp::client::error::Error::Status(status)) if status.status_code == StatusCode::Eof => break,
            Err(error) => return opened.session.done(&what, async { Err(error) }).await,
        }
    }
    Ok(piece.freeze())
}

/// A stretch of a file, many requests at a time. It ends early only with an error, unless the size is not known.
fn pieces(opened: Opened, from: u64, length: Option<u64>, what: String) -> BoxStream<'static, Result<Bytes, Trouble>> {
    let (opened, what): (_, Arc<str>) = (Arc::new(opened), what.into());
    let (size, within) = (opened.session.read_piece, opened.session.stalled_after);
    let end = length.map(|length| from + length);
    let starts = stream::iter((from..end.unwrap_or(u64::MAX)).step_by(size as usize));
    let asking = Arc::clone(&what);
    let asked = starts.map(move |at| {
        let wanted = end.map_or(size, |end| u32::try_from(end - at).unwrap_or(size).min(size));
        let (opened, what) = (Arc::clone(&opened), Arc::clone(&asking));
        async move { piece(opened, at, wanted, what).await.map(|piece| (piece, wanted)) }
    });
    // Without a size the end is found one by one.
    let read = asked.buffered(if end.is_some() { Session::side_by_side(size) } else { 1 });
    try_unfold((read, what), move |(mut read, what)| async move {
        let next = timeout(within, read.next()).await;
        let silence = |_| Trouble::unavailable(format!("{what}: nothing has arrived for {} s", within.as_secs()));
        match next.map_err(silence)?.transpose()? {
            Some((piece, wanted)) if end.is_some() && piece.len() < wanted as usize => {
                Err(Trouble::unavailable(format!("{what}: the file became shorter meanwhile")))
            }
            Some((piece, _)) if piece.is_empty() => Ok(None),
            Some((piece, _)) => Ok(Some((piece, (read, what)))),
            None => Ok(None),
        }
    })
    .boxed()
}

#[async_trait]
impl Store for Sftp {
    fn abilities(&self) -> Abilities {
        // One read fills the connection, and there is one.
        Abilities { lists: true, ranges: false, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        let what = format!("cannot look at `{}`", self.shown(key));
        let session = self.session(&what).await?;
        Ok(session.look(&path(key), &what).await?.map(|attributes| object(&attributes)))
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let what = format!("cannot fetch `{}`", self.shown(key));
        let session = self.session(&what).await?;
        let path = path(key);
        // Looked at before it is opened: opening a pipe might never end.
        match session.look(&path, &what).await?.map(|there| kind(&there)) {
            None => return Err(Trouble::absent(format!("{what}: nothing is there"))),
            Some(Some(Kind::Directory)) => {
                let why = Why::Directory;
                return Err(Trouble { why, ..Trouble::rejected(format!("{what}: it is a directory, not a file")) });
            }
            Some(Some(Kind::Special)) => return Err(Trouble::rejected(format!("{what}: it is no ordinary file"))),
            Some(Some(Kind::File | Kind::Link) | None) => {}
        }
        let opened = Opened::file(&session, &path, OpenFlags::READ, &what).await?;
        let opened = opened.map_err(|code| refused(&what, code))?;
        let attributes = session.done(&what, session.sftp.fstat(opened.handle.as_str())).await?.attrs;
        let object = object(&attributes);
        let changed = same.zip(object.tag.as_ref()).is_some_and(|(asked, found)| asked != found);
        if changed || object.size.is_some_and(|size| span.from > size) {
            let message = format!("{what}: it changed meanwhile");
            return Err(Trouble { why: Why::Changed, ..Trouble::unavailable(message) });
        }
        let rest = object.size.map(|size| size - span.from);
        let length = match (span.length, rest) {
            (Some(length), Some(rest)) => Some(length.min(rest)),
            (length, rest) => length.or(rest),
        };
        Ok(Reading { object, from: span.from, body: pieces(opened, span.from, length, what) })
    }

    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble> {
        let shown = self.shown(directory);
        let mut walk = Walk::at(page);
        let here = walk.here();
        let what = format!("cannot list `{shown}`");
        let children = self.children(&below(directory, &here), &what).await;
        walk.page(&here, children.map_err(|trouble| on_the_way(&here, trouble))?, &shown)
    }

    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        self.patience.retry(|| self.deliver(key, source)).await
    }

    async fn make_directory(&self, key: &str) -> Result<(), Trouble> {
        let what = format!("cannot make the directory `{}`", self.shown(key));
        let session = self.session(&what).await?;
        self.make(&session, key).await
    }
}
