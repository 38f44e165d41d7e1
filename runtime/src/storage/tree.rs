//! Storages where directories exist of their own: walking through them, parents, names of what is not complete yet.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::store::{Listed, Object, Page};
use super::trouble::{Trouble, Why};
use crate::part::PART;

/// Directories below one another. Links that lead in circles end here.
const DEEPEST: usize = 64;
/// What one directory may hold, …
pub(super) const MOST: usize = 1_000_000;
/// … and its names in bytes.
const MOST_NAMED: usize = 128 << 20;
/// Directories that are remembered.
const REMEMBERED: usize = 4096;

/// The directory that a key lies in; `None` at the top.
pub(super) fn parent(key: &str) -> Option<&str> {
    let (parent, _) = key.trim_end_matches('/').rsplit_once('/')?;
    let parent = parent.trim_end_matches('/');
    (!parent.is_empty()).then_some(parent)
}

/// A name beside a key, for what is not complete yet; another one each time.
pub(super) fn part_beside(key: &str) -> String {
    // Seeded by the operating system, so that writers on other hosts have other names.
    let unique = RandomState::new().build_hasher().finish();
    let (directory, _) = key.rsplit_once('/').map_or(("", key), |(directory, name)| (&key[..=directory.len()], name));
    format!("{directory}{PART}-{unique:016x}")
}

/// Names on a server that may not replace what has one.
#[async_trait]
pub(super) trait Names {
    /// Why something did not work.
    type Failed: Send;

    async fn rename(&mut self, from: &str, to: &str) -> Result<(), Self::Failed>;
    async fn remove(&mut self, name: &str) -> Result<(), Self::Failed>;
    /// Whether a file has this name.
    async fn is_file(&mut self, name: &str) -> Result<bool, Self::Failed>;
}

/// Gives a complete file its name, also where the server does not replace what has it: that is put aside, and put back
/// when the name cannot be given after all. The error says whether it still lies aside.
pub(super) async fn take_name<N: Names>(
    names: &mut N,
    part: &str,
    target: &str,
    aside: &str,
) -> Result<(), (N::Failed, bool)> {
    let Err(refused) = names.rename(part, target).await else { return Ok(()) };
    // Nothing in the way: it was refused for another reason.
    if !names.is_file(target).await.unwrap_or(false) {
        return Err((refused, false));
    }
    let put_aside = names.rename(target, aside).await.is_ok();
    let failed = match put_aside {
        true => match names.rename(part, target).await {
            Ok(()) => {
                let _a_name_too_many = names.remove(aside).await;
                return Ok(());
            }
            Err(failed) => failed,
        },
        false => refused,
    };
    let lost = match names.is_file(target).await {
        Ok(false) => names.rename(aside, target).await.is_err(),
        // The refusal was none: what was sent is there.
        Ok(true) => put_aside && names.remove(aside).await.is_err(),
        Err(_) => put_aside,
    };
    Err((failed, lost))
}

/// Counts what a directory holds while it is being told, so that no server fills the memory.
#[derive(Debug, Default)]
pub(super) struct Held {
    things: usize,
    bytes: usize,
}

impl Held {
    /// One thing more, with a name of so many bytes.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), String> {
        self.things = self.things.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        match self.things <= MOST && self.bytes <= MOST_NAMED {
            true => Ok(()),
            false => Err(format!("the directory holds more than {MOST} things, or their names are too long")),
        }
    }
}

/// A walk through a tree: a page holds one directory, its token the directories that are still to be visited.
pub(super) struct Walk {
    pending: Vec<String>,
}

impl Walk {
    /// Where the last page ended.
    pub(super) fn at(page: Option<&str>) -> Self {
        let pending = page.map_or_else(|| vec![String::new()], |page| page.split('\0').map(str::to_owned).collect());
        Self { pending }
    }

    /// The directory of this page, relative to where the walk began; empty for that one itself.
    pub(super) fn here(&mut self) -> String {
        self.pending.pop().unwrap_or_default()
    }

    /// The page of a directory, from what it holds itself. `shown` names it in messages.
    pub(super) fn page(mut self, here: &str, found: Vec<(String, Object)>, shown: &str) -> Result<Page, Trouble> {
        let (mut entries, mut below) = (Vec::with_capacity(found.len()), Vec::new());
        for (name, object) in found {
            let path = if here.is_empty() { name.clone() } else { format!("{here}/{name}") };
            if object.directory {
                // What would be visited next is asked for by this name.
                if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0', '\r', '\n']) {
                    let message = format!("`{shown}` holds a directory with the name {name:?}, which cannot be used");
                    return Err(Trouble::rejected(message));
                }
                if path.split('/').count() > DEEPEST {
                    let message = format!("`{shown}` goes deeper than {DEEPEST} directories: links in circles?");
                    return Err(Trouble::rejected(message));
                }
                below.push(path.clone());
            }
            entries.push(Listed { name: path, object });
        }
        // The first is visited first; and depth first, so that circles are noticed soon.
        self.pending.extend(below.into_iter().rev());
        let next = (!self.pending.is_empty()).then(|| self.pending.join("\0"));
        Ok(Page { entries, next })
    }
}

/// The trouble with a directory of a walk: one that was seen a moment ago and is gone has changed.
pub(super) fn on_the_way(here: &str, trouble: Trouble) -> Trouble {
    match trouble.why {
        Why::Absent if !here.is_empty() => Trouble { why: Why::Changed, ..Trouble::unavailable(trouble.message) },
        Why::Absent | Why::Directory | Why::Changed | Why::Rangeless | Why::Other => trouble,
    }
}

/// The key of something below a directory's key, which may end in `/` or not.
pub(super) fn below(directory: &str, name: &str) -> String {
    match (directory.trim_end_matches('/'), name) {
        (_, "") => directory.trim_end_matches('/').to_owned(),
        ("", name) => format!("{}{name}", if directory.is_empty() { "" } else { "/" }),
        (directory, name) => format!("{directory}/{name}"),
    }
}

/// Directories that are known to be there, so that not every file asks again.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashSet<String>>);

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, directory: &str) -> bool {
        self.lock().contains(directory)
    }

    pub(super) fn add(&self, directory: &str) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(directory.to_owned());
    }

    /// One of them is not there any more.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    fn directory() -> Object {
        Object { directory: true, ..Object::default() }
    }

    #[test]
    fn names() {
        assert_eq!(parent("a/b/c"), Some("a/b"));
        assert_eq!(parent("a/b/"), Some("a"));
        assert_eq!(parent("a"), None);
        assert_eq!(parent("/a"), None);
        assert!(part_beside("a/b").starts_with("a/.tessera-part-"));
        assert!(part_beside("b").starts_with(".tessera-part-"));
        assert!(part_beside("/b").starts_with("/.tessera-part-"));
        assert_ne!(part_beside("b"), part_beside("b"));
        assert_eq!(below("a/", "b"), "a/b");
        assert_eq!(below("a/", ""), "a");
        assert_eq!(below("", "b"), "b");
        assert_eq!(below("/", "b"), "/b");
    }

    /// A server that gives no name twice, and refuses the requests of these numbers.
    struct Strict {
        files: BTreeMap<String, &'static str>,
        asked: usize,
        refuses: &'static [usize],
    }

    #[async_trait]
    impl Names for Strict {
        type Failed = usize;

        async fn rename(&mut self, from: &str, to: &str) -> Result<(), usize> {
            self.asked += 1;
            if self.refuses.contains(&self.asked) || self.files.contains_key(to) {
                return Err(self.asked);
            }
            let file = self.files.remove(from).ok_or(self.asked)?;
            self.files.insert(to.to_owned(), file);
            Ok(())
        }

        async fn remove(&mut self, name: &str) -> Result<(), usize> {
            self.files.remove(name).map(|_| ()).ok_or(0)
        }

        async fn is_file(&mut self, name: &str) -> Result<bool, usize> {
            Ok(self.files.contains_key(name))
        }
    }

    #[tokio::test]
    async fn a_refused_name_costs_nobody_a_file() {
        /// What is there and what is refused; what is told and what is left.
        type Case<'a> = (&'a [&'a str], &'static [usize], Result<(), (usize, bool)>, &'a [(&'a str, &'a str)]);
        let (old, new) = ("old", "new");
        let cases: [Case<'_>; 6] = [
            (&[], &[], Ok(()), &[("x", new)]),
            (&["x"], &[], Ok(()), &[("x", new)]),
            (&[], &[1], Err((1, false)), &[("part", new)]),
            (&["x"], &[2], Err((1, false)), &[("part", new), ("x", old)]),
            (&["x"], &[3], Err((3, false)), &[("part", new), ("x", old)]),
            (&["x"], &[3, 4], Err((3, true)), &[("aside", old), ("part", new)]),
        ];
        for (held, refuses, told, left) in cases {
            let files = held.iter().map(|name| ((*name).to_owned(), old)).chain([("part".to_owned(), new)]).collect();
            let mut server = Strict { files, asked: 0, refuses };
            assert_eq!(take_name(&mut server, "part", "x", "aside").await, told, "{held:?} {refuses:?}");
            let found: Vec<_> = server.files.iter().map(|(name, file)| (name.as_str(), *file)).collect();
            assert_eq!(found, left, "{held:?} {refuses:?}");
        }
    }

    #[test]
    fn what_a_directory_holds_is_bounded() {
        let mut held = Held::default();
        assert_eq!((0..MOST).find(|_| held.add(1).is_err()), None);
        assert!(held.add(1).is_err());
        let mut held = Held::default();
        assert!(held.add(MOST_NAMED).is_ok() && held.add(1).is_err());
    }

    #[test]
    fn a_walk_visits_every_directory_once() {
        let held = |here: &str| match here {
            "" => vec![("x", false), ("d", true), ("e", true)],
            "d" => vec![("y", false), ("deep", true)],
            _ => vec![("z", false)],
        };
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut walk = Walk::at(token.as_deref());
            let here = walk.here();
            let found = held(&here).into_iter().map(|(name, is_directory)| {
                (name.to_owned(), if is_directory { directory() } else { Object::default() })
            });
            let page = walk.page(&here, found.collect(), "ftp://h/d").unwrap();
            seen.extend(page.entries.into_iter().map(|entry| entry.name));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["x", "d", "e", "d/y", "d/deep", "d/deep/z", "e/z"]);
    }

    #[test]
    fn a_walk_does_not_leave_its_tree_nor_go_in_circles() {
        for name in ["..", ".", "", "a/b", "a\nb"] {
            let page = Walk::at(None).page("", vec![(name.to_owned(), directory())], "ftp://h/d");
            assert!(page.unwrap_err().message.contains("`ftp://h/d`"));
        }
        let deep = vec!["d"; DEEPEST].join("/");
        assert!(Walk::at(None).page(&deep, vec![("d".to_owned(), directory())], "ftp://h/d").is_err());
    }
}
