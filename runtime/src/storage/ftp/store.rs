//! The storage: looking, reading, listing.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, try_unfold};
use tokio::time::timeout;

use super::super::source::Source;
use super::super::storages::Opening;
use super::super::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use super::super::tree::{Known, Walk, below, on_the_way};
use super::super::trouble::{Patience, Trouble, Why};
use super::connect::Door;
use super::connection::{Transfer, received};
use super::facts::Kind;
use super::pool::{Lease, Pool};
use super::reply::Failed;

/// A piece of a download.
const PIECE: usize = 256 * 1024;

/// One host, and one login there.
#[derive(Debug)]
pub(in super::super) struct Ftp {
    pub(super) pool: Arc<Pool>,
    pub(super) known: Known,
    pub(super) patience: Patience,
}

/// A download under way.
struct Download {
    lease: Lease,
    transfer: Transfer,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
    what: String,
}

impl Ftp {
    pub(in super::super) fn new(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let pool = Arc::new(Pool::new(Door::new(opening)?));
        Ok(Self { pool, known: Known::default(), patience: opening.patience })
    }

    /// A key as messages name it.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.pool.door.base)
    }

    /// The data connection for a file, from somewhere in it; and where that is.
    async fn retrieve(&self, lease: &mut Lease, path: &str, from: u64) -> Result<(Transfer, u64), Failed> {
        let offset = usize::try_from(from).unwrap_or(usize::MAX);
        let armed = timeout(lease.stalled_after, lease.ftp.resume_transfer(offset)).await;
        lease.heard(armed)?;
        let begun = timeout(lease.stalled_after, lease.ftp.retr_as_stream(path)).await;
        match lease.heard(begun) {
            Ok(transfer) => Ok((transfer, from)),
            Err(failed) if from > 0 && failed.is_unknown() => {
                let begun = timeout(lease.stalled_after, lease.ftp.retr_as_stream(path)).await;
                Ok((lease.heard(begun)?, 0))
            }
            Err(failed) => Err(failed),
        }
    }

    async fn children(&self, key: &str, what: &str) -> Result<Vec<(String, Object)>, Trouble> {
        let mut lease = self.pool.take().await.map_err(|trouble| because(what, trouble))?;
        let path = path(key);
        let found = match lease.children(&path).await {
            Ok(found) => found,
            Err(failed) if failed.is_unseen() => {
                return Err(match lease.look(&path).await {
                    Ok(Some(there)) if !there.directory => {
                        Trouble::rejected(format!("{what}: it is a file, not a directory"))
                    }
                    Ok(Some(_)) => Trouble { why: Why::Other, ..Trouble::misconfigured(failed.trouble(what).message) },
                    Ok(None) | Err(_) => failed.trouble(what),
                });
            }
            Err(failed) => return Err(failed.trouble(what)),
        };
        let mut children = Vec::with_capacity(found.len());
        for child in found {
            let object = match child.kind {
                Kind::Around => continue,
                Kind::File | Kind::Directory => Some(child.object),
                // A link that leads nowhere is nothing.
                Kind::Unclear => {
                    let target = self::path(&below(key, &child.name));
                    lease.look(&target).await.map_err(|failed| failed.trouble(what))?
                }
            };
            children.extend(object.map(|object| (child.name, object)));
        }
        Ok(children)
    }
}

/// A path as commands take it: what begins with a dash would be an option.
pub(super) fn path(key: &str) -> String {
    let key = if key.chars().all(|c| c == '/') { key } else { key.trim_end_matches('/') };
    if key.starts_with('-') { format!("./{key}") } else { key.to_owned() }
}

/// A trouble on the way to something, naming it.
pub(super) fn because(what: &str, trouble: Trouble) -> Trouble {
    Trouble { message: format!("{what}: {}", trouble.message), ..trouble }
}

impl Download {
    fn stream(self) -> BoxStream<'static, Result<Bytes, Trouble>> {
        try_unfold(Some(self), |download| async move {
            let Some(mut download) = download else { return Ok(None) };
            let most = download.left.map_or(PIECE, |left| usize::try_from(left).unwrap_or(PIECE).min(PIECE));
            let mut piece = vec![0; most];
            let within = download.lease.stalled_after;
            let read = match most {
                0 => 0,
                _ => received(&mut download.transfer, &mut piece, within)
                    .await
                    .map_err(|failed| failed.trouble(&download.what))?,
            };
            if read == 0 {
                return download.close().await.map(|()| None);
            }
            piece.truncate(read);
            download.left = download.left.map(|left| left - read as u64);
            Ok(Some((Bytes::from(piece), Some(download))))
        })
        .boxed()
    }

    async fn close(self) -> Result<(), Trouble> {
        let Self { mut lease, mut transfer, left, what } = self;
        match left {
            Some(left) if left > 0 => {
                return Err(Trouble::unavailable(format!("{what}: it ended {left} bytes early")));
            }
            // More may follow that nobody asked for: then the connection is given up.
            Some(_) => {
                let mut more = [0];
                let within = lease.stalled_after;
                if !matches!(received(&mut transfer, &mut more, within).await, Ok(0)) {
                    return Ok(());
                }
            }
            None => {}
        }
        lease.end(transfer).await.map_err(|failed| failed.trouble(&what))
    }
}

#[async_trait]
impl Store for Ftp {
    fn abilities(&self) -> Abilities {
        // A stretch costs a connection of its own, with its login: one after the other is faster.
        Abilities { lists: true, ranges: false, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        let what = format!("cannot look at `{}`", self.shown(key));
        let mut lease = self.pool.take().await.map_err(|trouble| because(&what, trouble))?;
        lease.look(&path(key)).await.map_err(|failed| failed.trouble(&what))
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let what = format!("cannot fetch `{}`", self.shown(key));
        let mut lease = self.pool.take().await.map_err(|trouble| because(&what, trouble))?;
        let path = path(key);
        let object = match lease.look(&path).await.map_err(|failed| failed.trouble(&what))? {
            None => return Err(Trouble::absent(format!("{what}: nothing is there"))),
            Some(there) if there.directory => {
                let why = Why::Directory;
                return Err(Trouble { why, ..Trouble::rejected(format!("{what}: it is a directory, not a file")) });
            }
            Some(file) => file,
        };
        let changed = same.zip(object.tag.as_ref()).is_some_and(|(asked, found)| asked != found);
        if changed || object.size.is_some_and(|size| span.from > size) {
            let message = format!("{what}: it changed meanwhile");
            return Err(Trouble { why: Why::Changed, ..Trouble::unavailable(message) });
        }
        let rest = object.size.map(|size| size - span.from);
        let wanted = match (span.length, rest) {
            (Some(length), Some(rest)) => Some(length.min(rest)),
            (length, rest) => length.or(rest),
        };
        if wanted == Some(0) {
            return Ok(Reading { object, from: span.from, body: stream::empty().boxed() });
        }
        let begun = self.retrieve(&mut lease, &path, span.from).await;
        let (transfer, from) = begun.map_err(|failed| match failed.trouble(&what) {
            // It was seen a moment ago.
            trouble if trouble.why == Why::Absent => Trouble::misconfigured(trouble.message),
            trouble => trouble,
        })?;
        let skipped = span.from - from;
        let (left, what) = (wanted.map(|wanted| wanted + skipped), format!("lost the connection: {what}"));
        // Until its end was heard.
        lease.broken = true;
        Ok(Reading { object, from, body: Download { lease, transfer, left, what }.stream() })
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
        let mut lease = self.pool.take().await.map_err(|trouble| because(&what, trouble))?;
        self.make(&mut lease, key).await
    }
}
