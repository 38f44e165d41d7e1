//! Logs that are brought here from another server, which kept them whole.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tessera_contract::Stream;

use super::assembly::{Logs, lock};
use super::follow::Follower;
use super::pieces::Selection;
use super::shelf::Shelf;
use super::tape::Tape;
use crate::task::TaskId;

/// An attempt's log on its way here. Nothing of it stays when it does not come to its end.
pub struct Bringing {
    logs: Arc<Logs>,
    task: TaskId,
    attempt: u32,
    folder: PathBuf,
    tape: Option<Tape>,
}

impl Logs {
    /// Whether the log of an attempt lies here, whole.
    pub fn keeps(&self, task: &TaskId, attempt: u32) -> bool {
        self.shelf.is_closed(task, attempt)
    }

    /// Begins to bring an attempt's log here; `None` when that is under way.
    pub async fn bring(self: &Arc<Self>, task: &TaskId, attempt: u32) -> io::Result<Option<Bringing>> {
        if !lock(&self.bringing).insert((task.clone(), attempt)) {
            return Ok(None);
        }
        let mut bringing =
            Bringing { logs: Arc::clone(self), task: task.clone(), attempt, folder: PathBuf::new(), tape: None };
        bringing.folder = self.on_shelf(Shelf::brings).await?;
        Ok(Some(bringing))
    }
}

impl Follower {
    /// The attempts among those selected that are over, and of which this server cannot have all.
    pub fn lacking(&self, selection: Selection) -> Vec<u32> {
        let picture = self.picture();
        let selected =
            picture.attempts.iter().filter(|one| selection.attempt.is_none_or(|wanted| wanted == one.number));
        selected.filter(|attempt| attempt.cut_off).map(|attempt| attempt.number).collect()
    }
}

impl Bringing {
    /// What comes next is of this stream.
    pub async fn begin(&mut self, executor: u32, stream: Stream) -> io::Result<()> {
        self.end_stream().await?;
        let folder = self.folder.clone();
        self.tape = Some(self.logs.on_shelf(move |_| Shelf::brought_tape(&folder, executor, stream)).await?);
        Ok(())
    }

    /// The next bytes of the stream.
    pub async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        let Some(mut tape) = self.tape.take() else { return Ok(()) };
        let appended = self.logs.on_shelf(move |shelf| {
            shelf.check_space()?;
            tape.append(tape.offset(), &bytes)?;
            Ok((tape, bytes.len() as u64))
        });
        let (tape, length) = appended.await?;
        lock(&self.logs.held).grow(length);
        self.tape = Some(tape);
        Ok(())
    }

    /// All of it is here: whoever reads it from now on has it.
    pub async fn end(mut self) -> io::Result<()> {
        self.end_stream().await?;
        let (folder, task, attempt) = (self.folder.clone(), self.task.clone(), self.attempt);
        self.logs.on_shelf(move |shelf| shelf.is_brought(&folder, &task, attempt)).await?;
        self.logs.is_brought(&self.task, self.attempt);
        Ok(())
    }

    async fn end_stream(&mut self) -> io::Result<()> {
        match self.tape.take() {
            Some(tape) => self.logs.on_shelf(move |_| tape.sync()).await,
            None => Ok(()),
        }
    }
}

impl Drop for Bringing {
    fn drop(&mut self) {
        lock(&self.logs.bringing).remove(&(self.task.clone(), self.attempt));
        if !self.folder.as_os_str().is_empty() {
            // Not there any more where it has come to its end.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
