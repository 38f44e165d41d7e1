//! The files: where they lie, what is known of them, how they go.
//!
//! `<folder>/<day of the task>/<task>/<attempt>/<executor>.stdout`, and beside the streams of an attempt the empty file
//! [`CLOSED`] once nothing more can come. `<folder>/removed/<day of the task>/<task>` is an empty file for each task whose
//! log was removed: what is not here and not named there was never kept, and still may be. Of days that are long over
//! these go too: what is not here then, and no backend has, is taken for removed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tessera_contract::Stream;

use super::space::Space;
use super::tape::Tape;
use crate::task::TaskId;

/// In an attempt's folder: its streams are whole.
const CLOSED: &str = "closed";
/// Names the tasks whose logs were removed.
const REMOVED: &str = "removed";
/// Holds logs on their way here from other servers.
const BRINGING: &str = "bringing";

/// One stream of an executor of an attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spot {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: u32,
    /// The executor's index.
    pub executor: u32,
    /// The stream.
    pub stream: Stream,
}

/// The folder of all kept logs.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    space: Space,
    /// Of the days before it nothing is remembered that was removed.
    forgotten: Mutex<String>,
}

impl Shelf {
    /// Opens the folder; made if it is not there, for nobody but us.
    pub fn open(folder: &Path, leave_free_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Of a former run; nobody else uses the folder.
        gone(std::fs::remove_dir_all(folder.join(BRINGING)))?;
        let space = Space::new(folder.to_owned(), leave_free_bytes);
        Ok(Self { folder: folder.to_owned(), space, forgotten: Mutex::default() })
    }

    /// A stream's file, to be appended to.
    pub fn tape(&self, spot: &Spot) -> io::Result<Tape> {
        Tape::open(&self.path(spot))
    }

    /// Fails when nothing more is to be written.
    pub fn check_space(&self) -> io::Result<()> {
        self.space.check()
    }

    /// How many bytes lack on the disk, as it is right now, until there are so many more free than are to be left so.
    pub fn lacking(&self, more: u64) -> io::Result<u64> {
        self.space.lacking(more)
    }

    /// How many bytes of a stream are kept; 0 when there is no file.
    pub fn length(&self, spot: &Spot) -> io::Result<u64> {
        match std::fs::metadata(self.path(spot)) {
            Ok(about) => Ok(about.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Bytes of a stream from an offset on, at most so many.
    pub fn read(&self, spot: &Spot, from: u64, most: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(spot))?;
        let mut bytes = vec![0; most];
        let mut filled = 0;
        while filled < most {
            match file.read_at(&mut bytes[filled..], from.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Whether anything of an attempt is here.
    pub fn holds(&self, task: &TaskId, attempt: u32) -> bool {
        self.attempt(task, attempt).is_dir()
    }

    /// Whether the streams of an attempt are whole.
    pub fn is_closed(&self, task: &TaskId, attempt: u32) -> bool {
        self.attempt(task, attempt).join(CLOSED).is_file()
    }

    /// The streams of an attempt are whole. Durable when this returns; nothing is done where nothing is kept, unless that
    /// is to be known too.
    pub fn close(&self, task: &TaskId, attempt: u32, also_empty: bool) -> io::Result<()> {
        let folder = self.attempt(task, attempt);
        if also_empty {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        } else if !folder.is_dir() {
            return Ok(());
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(CLOSED))?;
        let mut made = Some(folder.as_path());
        while let Some(folder) = made.filter(|folder| folder.starts_with(&self.folder)) {
            File::open(folder)?.sync_all()?;
            made = folder.parent();
        }
        Ok(())
    }

    /// A folder for a log that is brought here, in which its streams are laid down.
    pub fn brings(&self) -> io::Result<PathBuf> {
        let folder = self.folder.join(BRINGING).join(ulid::Ulid::generate().to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(folder)
    }

    /// A stream's file in such a folder.
    pub fn brought_tape(folder: &Path, executor: u32, stream: Stream) -> io::Result<Tape> {
        Tape::open(&folder.join(file(executor, stream)))
    }

    /// What was brought is whole, and takes the place of what was here. Of two who brought the same one stands.
    pub fn is_brought(&self, folder: &Path, task: &TaskId, attempt: u32) -> io::Result<()> {
        if self.is_closed(task, attempt) {
            return gone(std::fs::remove_dir_all(folder));
        }
        self.remove_attempt(task, attempt)?;
        DirBuilder::new().recursive(true).mode(0o700).create(self.task(task))?;
        match std::fs::rename(folder, self.attempt(task, attempt)) {
            Ok(()) => self.close(task, attempt, true),
            Err(_) if self.is_closed(task, attempt) => gone(std::fs::remove_dir_all(folder)),
            Err(error) => Err(error),
        }
    }

    /// Removes what is kept of an attempt.
    pub fn remove_attempt(&self, task: &TaskId, attempt: u32) -> io::Result<()> {
        gone(std::fs::remove_dir_all(self.attempt(task, attempt)))?;
        // Gone when it was the last of them.
        let _ = std::fs::remove_dir(self.task(task));
        Ok(())
    }

    /// Removes what is kept of a task, and remembers that.
    pub fn prune(&self, task: &TaskId) -> io::Result<()> {
        let first = match self.remember(task) {
            // What it needs is what this is to make.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => false,
            remembered => remembered.map(|()| true)?,
        };
        gone(std::fs::remove_dir_all(self.task(task)))?;
        if first { Ok(()) } else { self.remember(task) }
    }

    /// Removes what is kept of a task that is gone itself: nobody will ask what became of it.
    pub fn remove(&self, task: &TaskId) -> io::Result<()> {
        gone(std::fs::remove_dir_all(self.task(task)))?;
        gone(std::fs::remove_file(self.removed(task)))
    }

    fn remember(&self, task: &TaskId) -> io::Result<()> {
        if self.was_pruned(task)? {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder.join(REMOVED).join(day(task)))?;
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.removed(task)).map(drop)
    }

    /// Whether what was kept of a task has been removed, if it is not here.
    pub fn was_pruned(&self, task: &TaskId) -> io::Result<bool> {
        self.removed(task).try_exists()
    }

    /// What was removed of the days before one is remembered no longer.
    pub fn forget(&self, before: &str) -> io::Result<()> {
        *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner) = before.to_owned();
        for day in names(&self.folder.join(REMOVED))?.iter().filter(|day| day.as_str() < before) {
            gone(std::fs::remove_dir_all(self.folder.join(REMOVED).join(day)))?;
        }
        Ok(())
    }

    /// Whether it would not be remembered any more that what was kept of a task has been removed.
    pub fn is_forgotten(&self, task: &TaskId) -> bool {
        day(task) < *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn removed(&self, task: &TaskId) -> PathBuf {
        self.folder.join(REMOVED).join(day(task)).join(task.as_str())
    }

    /// The days of which something is kept, oldest first.
    pub fn days(&self) -> io::Result<Vec<String>> {
        let is_day = |name: &String| name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        Ok(names(&self.folder)?.into_iter().filter(is_day).collect())
    }

    /// The tasks of a day of which something is kept, oldest first.
    pub fn tasks(&self, day: &str) -> io::Result<Vec<TaskId>> {
        Ok(names(&self.folder.join(day))?.iter().filter_map(|name| TaskId::parse(name)).collect())
    }

    /// A day of which nothing is kept any more goes.
    pub fn remove_day(&self, day: &str) {
        // Not empty: somebody is about to write there.
        let _ = std::fs::remove_dir(self.folder.join(day));
    }

    /// The bytes kept of a task.
    pub fn bytes(&self, task: &TaskId) -> io::Result<u64> {
        let mut sum = 0;
        for attempt in names(&self.task(task))? {
            let folder = self.task(task).join(attempt);
            for file in names(&folder)? {
                sum += std::fs::metadata(folder.join(file)).map_or(0, |about| about.len());
            }
        }
        Ok(sum)
    }

    fn task(&self, task: &TaskId) -> PathBuf {
        self.folder.join(day(task)).join(task.as_str())
    }

    fn attempt(&self, task: &TaskId, attempt: u32) -> PathBuf {
        self.task(task).join(attempt.to_string())
    }

    fn path(&self, spot: &Spot) -> PathBuf {
        self.attempt(&spot.task, spot.attempt).join(file(spot.executor, spot.stream))
    }
}

fn file(executor: u32, stream: Stream) -> String {
    match stream {
        Stream::Stdout => format!("{executor}.stdout"),
        Stream::Stderr => format!("{executor}.stderr"),
    }
}

/// The day on which a task was created, in UTC: its id says it.
pub fn day(task: &TaskId) -> String {
    let at_ms = ulid::Ulid::from_string(task.as_str()).map_or(0, |id| id.timestamp_ms());
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    day_of(at.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// A moment's day, in UTC.
pub fn day_of(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

/// The names in a folder, sorted; none when it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// That there was nothing to remove is as good.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
