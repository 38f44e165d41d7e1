//! `[storage.file]`: `file://` URLs and bare absolute paths of this host.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tessera_runtime::storage::settings::Ownership;

use crate::config::problem::Problems;

/// `[storage.file]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileStorage {
    /// Absolute folders below which tasks may read and write (TES contract 9.7): a path, or a table
    /// `{ path = "/shared", mode = "bind-rw" }`. The server's own data is refused even below a root. Default none:
    /// file URLs are refused.
    pub roots: Vec<Root>,
    /// Whose delivered files and folders are: `uid:gid`, both by number. Only a server that is root can give files
    /// away. Empty: the task's `container_user` where that is a number and the server is root, otherwise the
    /// server's own user. Default empty.
    pub owner: String,
    /// Permission bits of delivered files, octal, such as `0640`. Empty: as the server's umask leaves them, a file's
    /// own `x` kept. Default empty.
    pub mode: String,
    /// Permission bits of folders that are made for delivered files, octal, such as `0750`. Empty: as the server's
    /// umask leaves them. Default empty.
    pub directory_mode: String,
}

/// A folder below which tasks may read and write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder, absolute.
    pub path: PathBuf,
    /// How its files come into a task.
    pub mode: Mode,
}

/// How files below a root come into a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Staged: a task gets its own view of them and cannot change the originals.
    #[default]
    Stage,
    /// Mounted into the container as they are: what a task writes there changes the originals (TES contract 9.9).
    BindRw,
}

/// A root as a table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    path: PathBuf,
    #[serde(default)]
    mode: Mode,
}

impl Serialize for Root {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.mode {
            Mode::Stage => self.path.serialize(serializer),
            Mode::BindRw => Table { path: self.path.clone(), mode: self.mode }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not an untagged enum: that one could not say which key of the table is wrong.
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = Root;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an absolute path, or a table { path = \"/shared\", mode = \"bind-rw\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Root, E> {
        Ok(Root { path: PathBuf::from(text), mode: Mode::Stage })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Root, A::Error> {
        let Table { path, mode } = Table::deserialize(MapAccessDeserializer::new(table))?;
        Ok(Root { path, mode })
    }
}

impl FileStorage {
    pub(super) fn check(&self, problems: &mut Problems) {
        for (index, root) in self.roots.iter().enumerate() {
            let key = format!("storage.file.roots[{index}]");
            if let Err(reason) = plain(&root.path) {
                problems.add(&key, reason);
            } else if !root.path.is_dir() {
                problems.add(&key, format!("`{}` is no folder; make it, or take it out", root.path.display()));
            } else if root.mode == Mode::BindRw && root.path.parent().is_none() {
                problems.add(&key, "is `/`, which cannot be mounted read-write as a whole; name folders in it");
            } else if self.roots[..index].iter().any(|earlier| earlier.path == root.path) {
                problems.add(&key, format!("`{}` is there twice", root.path.display()));
            }
        }
        let mut said = |key: &str, reason: Option<String>| {
            if let Some(reason) = reason {
                problems.add(&format!("storage.file.{key}"), reason);
            }
        };
        said("owner", owner(&self.owner).err());
        said("mode", mode(&self.mode).err());
        said("directory_mode", mode(&self.directory_mode).err());
        let gives_away = owner(&self.owner).is_ok_and(|owner| owner.is_some());
        if gives_away && !rustix::process::geteuid().is_root() {
            said("owner", Some("only a server that runs as root can give files away".to_owned()));
        }
    }

    /// In the words of the plan.
    pub(super) fn ownership(&self) -> Result<Ownership, String> {
        Ok(Ownership {
            owner: owner(&self.owner)?,
            mode: mode(&self.mode)?,
            directory_mode: mode(&self.directory_mode)?,
        })
    }
}

/// An absolute path that says no more than names; the error is a sentence.
pub(super) fn plain(path: &Path) -> Result<(), String> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain {
        return Err(format!("`{}` is not an absolute path without `..`", path.display()));
    }
    if path.to_str().is_none() { Err("is not valid UTF-8".to_owned()) } else { Ok(()) }
}

fn owner(text: &str) -> Result<Option<(u32, u32)>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let numbers = text.split_once(':').and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    // The highest number means "unchanged" to the kernel.
    let meant = numbers.filter(|(user, group)| *user != u32::MAX && *group != u32::MAX);
    meant.map(Some).ok_or_else(|| format!("`{text}` is no owner; write user and group by number, such as `1000:1000`"))
}

fn mode(text: &str) -> Result<Option<u32>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let bits = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|bits| *bits <= 0o7777);
    bits.map(Some).ok_or_else(|| format!("`{text}` is no mode; write it octal, such as `0640`"))
}
