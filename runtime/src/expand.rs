//! What a pattern matches in a tree (TES contract 10.8 to 10.12).

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::entry::{Entry, EntryKind};
use crate::pattern::{Pattern, alternatives, head};
use crate::tree::Tree;

/// Deeper nesting than this is not looked into.
const DEEPEST: usize = 200;

/// The paths that match, sorted; below one of them no other is sought. `skip` names what is not looked at. Braces
/// are expanded only when the pattern itself matches nothing.
pub(crate) fn expand(tree: &Tree, pattern: &str, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = matches(tree, pattern, skip)?;
    if found.is_empty() {
        for alternative in alternatives(pattern) {
            if alternative != pattern {
                found.extend(matches(tree, &alternative, skip)?);
            }
        }
        found.sort();
        found.dedup();
    }
    Ok(found)
}

fn matches(tree: &Tree, pattern: &str, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let whole = Pattern::new(pattern);
    let head = Path::new(head(pattern));
    let mut walk = Walk {
        tree,
        // The pattern of each depth, so that only directories that may lead to a match are entered.
        levels: match whole.is_deep() {
            true => Vec::new(),
            false => levels(pattern),
        },
        whole,
        skip,
        found: Vec::new(),
    };
    if let Some(entry) = tree.find(head)? {
        walk.directory(&entry, head)?;
    }
    walk.found.sort();
    Ok(walk.found)
}

/// `/a`, `/a/b*`, `/a/b*/c` for `/a/b*/c`.
fn levels(pattern: &str) -> Vec<Pattern> {
    let ends = pattern.char_indices().skip(1).filter(|(_, char)| *char == '/');
    ends.map(|(at, _)| Pattern::new(&pattern[..at])).chain([Pattern::new(pattern)]).collect()
}

struct Walk<'a> {
    tree: &'a Tree,
    whole: Pattern,
    levels: Vec<Pattern>,
    skip: &'a dyn Fn(&Path) -> bool,
    found: Vec<PathBuf>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Entry, path: &Path) -> io::Result<()> {
        if directory.kind() != EntryKind::Directory {
            return Ok(());
        }
        for name in directory.names()? {
            self.child(directory, path, name)?;
        }
        Ok(())
    }

    fn child(&mut self, directory: &Entry, path: &Path, name: OsString) -> io::Result<()> {
        let path = path.join(&name);
        if (self.skip)(&path) {
            return Ok(());
        }
        let text = path.to_string_lossy();
        if self.whole.matches(&text) {
            self.found.push(path);
            return Ok(());
        }
        let depth = path.components().count() - 1;
        let child = if self.levels.is_empty() {
            // Links are not entered where the depth has no bound of its own.
            if depth >= DEEPEST {
                return Ok(());
            }
            directory.child(&name)?
        } else {
            let leads = self.levels.get(depth - 1).is_some_and(|level| level.matches(&text));
            if depth == self.levels.len() || !leads {
                return Ok(());
            }
            self.tree.find(&path).unwrap_or_default()
        };
        match child {
            Some(child) => match self.directory(&child, &path) {
                // A directory that may not be read holds nothing that could be copied.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                walked => walked,
            },
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    fn found(files: &[&str], pattern: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(&file[1..]);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let tree = Tree::open(root.path()).unwrap();
        let found = expand(&tree, pattern, &|path| path.starts_with("/skipped")).unwrap();
        found.into_iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn rule_10_8_and_10_9_and_10_12_one_level_and_several() {
        let files = ["/w/a.txt", "/w/b.txt", "/w/.c.txt", "/w/d/e.txt", "/w/x.bam"];
        assert_eq!(found(&files, "/w/*.txt"), ["/w/a.txt", "/w/b.txt"]);
        assert_eq!(found(&files, "/w/*/*.txt"), ["/w/d/e.txt"]);
        assert_eq!(found(&files, "/w/**.txt"), ["/w/a.txt", "/w/b.txt", "/w/d/e.txt"]);
        assert_eq!(found(&files, "/w/**/*.txt"), ["/w/a.txt", "/w/b.txt", "/w/d/e.txt"]);
        assert_eq!(found(&files, "/*/a.txt"), ["/w/a.txt"]);
        assert!(found(&files, "/none/*").is_empty());
    }

    #[test]
    fn rule_10_11_a_directory_that_matches_is_not_looked_into() {
        let files = ["/w/d/e", "/w/d/f", "/w/g"];
        assert_eq!(found(&files, "/w/**"), ["/w/d", "/w/g"]);
    }

    #[test]
    fn rule_10_9_braces_only_when_nothing_has_that_name() {
        assert_eq!(found(&["/w/a", "/w/b", "/w/c"], "/w/{b,a}"), ["/w/a", "/w/b"]);
        assert_eq!(found(&["/w/a", "/w/{b,a}"], "/w/{b,a}"), ["/w/{b,a}"]);
    }

    #[test]
    fn what_is_skipped_is_not_seen() {
        assert_eq!(found(&["/skipped/a", "/w/a"], "/*/a"), ["/w/a"]);
    }

    #[test]
    fn links_do_not_make_it_endless() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("w/d")).unwrap();
        symlink("/w", root.path().join("w/d/up")).unwrap();
        std::fs::write(root.path().join("w/a.txt"), "").unwrap();
        let tree = Tree::open(root.path()).unwrap();
        let deep = expand(&tree, "/w/**.txt", &|_| false).unwrap();
        assert_eq!(deep, [Path::new("/w/a.txt")]);
        let bounded = expand(&tree, "/w/*/*/*.txt", &|_| false).unwrap();
        assert_eq!(bounded, [Path::new("/w/d/up/a.txt")]);
    }
}
