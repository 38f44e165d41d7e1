//! Readers: each goes through the logs at its own speed, and holds one piece.

use std::sync::Arc;

use bytes::Bytes;
use tessera_contract::Stream;
use tokio::sync::watch;

use super::assembly::Logs;
use super::picture::{Kept, Picture, StreamView};
use super::pieces::{Cursor, LONGEST, Piece, Selection, cut};
use super::shelf::Spot;
use crate::task::{Phase, TaskId};

/// Reads what is selected of a task's logs, in order, from a cursor on.
pub struct Follower {
    logs: Arc<Logs>,
    task: TaskId,
    seen: watch::Receiver<Arc<Picture>>,
    /// The look at the backend that was asked for at the start, and the last one that was taken.
    look: (u64, watch::Receiver<u64>),
    selection: Selection,
    cursor: Cursor,
    /// Pieces end where characters do.
    characters: bool,
    /// Which stream is looked at first: they take turns.
    turn: usize,
}

/// What there is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A piece.
    Piece(Piece),
    /// Nothing more now.
    Caught,
    /// Nothing more ever. The task stands here.
    Ended(Phase),
    /// What is asked for was kept, and its time is over.
    Gone,
    /// It cannot be read now; another try may do.
    Failed(String),
}

/// What a look at the picture finds.
enum Look {
    At(Stream, u64, usize, StreamView),
    Nothing,
    Ended(Phase),
    Gone,
}

impl Follower {
    /// A reader of a task's logs.
    pub(super) fn new(
        logs: Arc<Logs>,
        task: TaskId,
        seen: watch::Receiver<Arc<Picture>>,
        look: (u64, watch::Receiver<u64>),
    ) -> Self {
        let selection = Selection::default();
        Self { logs, task, seen, look, selection, cursor: Cursor::start(selection), characters: false, turn: 0 }
    }

    /// Reads this, from here on.
    pub fn reading(mut self, selection: Selection, cursor: Cursor) -> Self {
        (self.selection, self.cursor) = (selection, cursor);
        self
    }

    /// Cuts pieces where characters end.
    pub fn in_characters(mut self) -> Self {
        self.characters = true;
        self
    }

    /// The picture as it is now.
    pub fn picture(&self) -> Arc<Picture> {
        self.seen.borrow().clone()
    }

    /// Where it stands.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns when the task and its jobs have been looked at.
    pub async fn begun(&mut self) {
        let _ = self.seen.wait_for(|picture| picture.fresh).await;
    }

    /// True when all is here that was there when this reader began, or when it cannot be had now; false when it has
    /// only got on.
    pub async fn fresh(&mut self) -> bool {
        let (look, looked) = &mut self.look;
        tokio::select! {
            biased;
            // An end of the collector says as much.
            _ = looked.wait_for(|taken| *taken >= *look) => true,
            changed = self.seen.changed() => changed.is_err(),
        }
    }

    /// Returns when there may be something new; false when there never will be.
    pub async fn changed(&mut self) -> bool {
        self.seen.changed().await.is_ok()
    }

    /// The next piece, without waiting for one. May be dropped at any time: nothing is read before it is answered.
    pub async fn next(&mut self) -> Next {
        let mut again = false;
        loop {
            if std::mem::replace(&mut again, true) {
                // Whatever it is that is tried again, the others get their turn.
                tokio::task::yield_now().await;
            }
            let picture = self.seen.borrow_and_update().clone();
            let (stream, at, most, view) = match self.look(&picture) {
                Look::At(stream, at, most, view) => (stream, at, most, view),
                Look::Nothing => return Next::Caught,
                Look::Ended(phase) => return Next::Ended(phase),
                Look::Gone => return Next::Gone,
            };
            let bytes = match self.bytes(stream, at, most, &view).await {
                Ok(bytes) if bytes.is_empty() && Arc::ptr_eq(&self.seen.borrow(), &picture) => {
                    return Next::Failed("a log is shorter than it was".to_owned());
                }
                Ok(bytes) if bytes.is_empty() => continue,
                Ok(bytes) => bytes,
                // It lies elsewhere meanwhile: in the history.
                Err(_) if !Arc::ptr_eq(&self.seen.borrow(), &picture) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Next::Gone,
                Err(error) => return Next::Failed(format!("a log cannot be read: {error}")),
            };
            let is_end = view.closed && at.saturating_add(bytes.len() as u64) >= view.length;
            let taken = if self.characters { cut(&bytes, is_end) } else { bytes.len() };
            self.turn = 1 - super::picture::index(stream);
            if taken == 0 {
                // Half a character: the other stream may have more.
                if self.has_other(&picture, stream) {
                    continue;
                }
                return Next::Caught;
            }
            let bytes = bytes.slice(..taken);
            let behind = self.cursor.behind(stream, taken as u64);
            let Cursor { attempt, executor, .. } = self.cursor;
            self.cursor = behind;
            return Next::Piece(Piece { attempt, executor, stream, offset: at, bytes, behind });
        }
    }

    /// Whether the other stream has something while one waits for the rest of a character.
    fn has_other(&self, picture: &Picture, stream: Stream) -> bool {
        let mut streams = self.selection.streams().filter(|other| *other != stream);
        streams.any(|other| {
            let view = picture.stream(self.cursor.attempt, self.cursor.executor, other);
            // More than half a character, or the two would wait for each other without end.
            let more = view.map_or(0, |view| view.length.saturating_sub(self.cursor.of(other)));
            more > 3 || more > 0 && view.is_some_and(|view| view.closed)
        })
    }

    /// Goes on to where there is something to read.
    fn look(&mut self, picture: &Picture) -> Look {
        loop {
            let Some(attempt) = picture.attempt(self.cursor.attempt) else { return self.at_the_end(picture) };
            let index = usize::try_from(self.cursor.executor).unwrap_or(usize::MAX);
            let Some(executor) = attempt.executors.get(index) else {
                // The last executor is read; another attempt may follow.
                let follows = picture.attempt(self.cursor.attempt + 1).is_some();
                if !attempt.closed || self.selection.attempt.is_some() || !follows {
                    return if attempt.closed { self.at_the_end(picture) } else { Look::Nothing };
                }
                let first = self.selection.executor.unwrap_or(0);
                self.cursor = Cursor { attempt: self.cursor.attempt + 1, executor: first, at: [0, 0] };
                continue;
            };
            let mut streams: Vec<Stream> = self.selection.streams().collect();
            if streams.len() > self.turn {
                streams.rotate_left(self.turn);
            }
            let views = || streams.iter().map(|stream| (*stream, &executor[super::picture::index(*stream)]));
            if views().any(|(_, view)| view.kept == Kept::Gone) {
                return Look::Gone;
            }
            if let Some((stream, view)) = views().find(|(stream, view)| view.length > self.cursor.of(*stream)) {
                let at = self.cursor.of(stream);
                let most = usize::try_from(view.length - at).unwrap_or(LONGEST).min(LONGEST);
                return Look::At(stream, at, most, view.clone());
            }
            if !views().all(|(_, view)| view.closed) {
                return Look::Nothing;
            }
            if self.selection.executor.is_some() {
                let follows = picture.attempt(self.cursor.attempt + 1).is_some();
                if self.selection.attempt.is_none() && follows {
                    self.cursor = Cursor { attempt: self.cursor.attempt + 1, at: [0, 0], ..self.cursor };
                    continue;
                }
                // Without an attempt named, another one may still come.
                let over = self.selection.attempt.is_some() || picture.phase.is_some_and(Phase::is_terminal);
                return if over { self.at_the_end(picture) } else { Look::Nothing };
            }
            self.cursor = Cursor { executor: self.cursor.executor + 1, at: [0, 0], ..self.cursor };
        }
    }

    /// Everything there is has been read. The task may go on, or what was asked for is over before it.
    fn at_the_end(&self, picture: &Picture) -> Look {
        match picture.phase {
            Some(phase) if picture.is_final() || self.selection.attempt.is_some() => Look::Ended(phase),
            Some(_) | None => Look::Nothing,
        }
    }

    async fn bytes(&self, stream: Stream, at: u64, most: usize, view: &StreamView) -> std::io::Result<Bytes> {
        let from = |begin: u64, bytes: &Bytes| {
            let begin = usize::try_from(at - begin).unwrap_or(usize::MAX);
            let end = begin.saturating_add(most).min(bytes.len());
            bytes.slice(begin.min(end)..end)
        };
        match &view.kept {
            Kept::Text(text) => Ok(from(0, text)),
            Kept::Edge(begin, edge) if at >= *begin => Ok(from(*begin, edge)),
            Kept::File | Kept::Edge(..) => {
                let Cursor { attempt, executor, .. } = self.cursor;
                let spot = Spot { task: self.task.clone(), attempt, executor, stream };
                self.logs.on_shelf(move |shelf| shelf.read(&spot, at, most)).await.map(Bytes::from)
            }
            Kept::Gone => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}
