//! Which files an output stands for (TES contract 10.5, 10.6, 10.8 to 10.12).

use std::io;
use std::path::{Path, PathBuf};

use crate::entry::{Entry, EntryKind};
use crate::expand::expand;
use crate::notes::Notes;
use crate::part::PART;
use crate::places::normal;
use crate::plan::{Kind, MissingOutput, Output, Plan};
use crate::storage::location::{Location, Remote, join, redacted};
use crate::storage::trouble::Trouble;
use crate::tree::Tree;

/// One thing to deliver. It holds no descriptor: there may be very many.
#[derive(Debug)]
pub(super) struct Item {
    /// A file. A directory is only made where directories exist.
    pub(super) file: bool,
    /// Its path in the container.
    pub(super) path: PathBuf,
    pub(super) target: Target,
}

/// Where something is delivered to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Its final URL.
    pub(super) url: String,
    pub(super) to: To,
}

/// The same for those who write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum To {
    Host(PathBuf),
    Remote(Remote),
}

impl To {
    /// A directory without the slash at its end.
    fn trimmed(self) -> Self {
        match self {
            Self::Host(path) => Self::Host(path),
            Self::Remote(remote) => {
                let key = remote.key.trim_end_matches('/').to_owned();
                Self::Remote(Remote { key, ..remote })
            }
        }
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, Trouble> {
        Ok(Self {
            url: url.to_owned(),
            to: match Location::parse(url)? {
                Location::Host(path) => To::Host(path.to_write().to_owned()),
                Location::Remote(remote) => To::Remote(remote),
            },
        })
    }

    /// Something below this directory.
    fn below(&self, path: &Path) -> Result<Self, Trouble> {
        let url = join(&self.url, path);
        let to = match &self.to {
            To::Host(directory) => To::Host(directory.join(path)),
            To::Remote(directory) => match path.to_str() {
                Some(name) => To::Remote(directory.below(name)),
                None => {
                    let message = format!("`{}` has a name that is not UTF-8, which no storage takes", path.display());
                    return Err(Trouble::rejected(message));
                }
            },
        };
        Ok(Self { url, to })
    }
}

/// What all outputs of a plan stand for.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) items: Vec<Item>,
    pub(super) notes: Notes,
    pub(super) troubles: Vec<Trouble>,
}

/// Deeper nesting than this is refused.
const DEEPEST: usize = 200;
/// Links to directories can multiply what is there; beyond this it is not a result but an attack.
const MOST: usize = 1_000_000;

/// Looks at everything that is to be delivered.
pub(super) fn collect(plan: &Plan, tree: &Tree) -> Collected {
    let mut collector = Collector { tree, missing: plan.policy.missing_output, collected: Collected::default() };
    for output in &plan.outputs {
        if let Err(trouble) = collector.output(output) {
            collector.collected.troubles.push(trouble);
        }
    }
    collector.collected
}

struct Collector<'a> {
    tree: &'a Tree,
    missing: MissingOutput,
    collected: Collected,
}

impl Collector<'_> {
    fn output(&mut self, output: &Output) -> Result<(), Trouble> {
        let target = Target::parse(&output.url)?;
        let path = normal(&output.path)
            .ok_or_else(|| Trouble::rejected(format!("the output path `{}` is not absolute", output.path)))?;
        match &output.path_prefix {
            Some(prefix) if output.is_pattern() => self.pattern(&path, prefix, &target),
            Some(_) | None => self.literal(&path, output, target),
        }
    }

    fn pattern(&mut self, pattern: &str, prefix: &str, target: &Target) -> Result<(), Trouble> {
        let found = expand(self.tree, pattern, &|path| is_part(path))
            .map_err(|error| Trouble::reading(format!("cannot look for the output `{pattern}`"), &error))?;
        if found.is_empty() {
            self.note(format!("nothing matches the output `{pattern}`"));
        }
        let prefix = normal(prefix).unwrap_or_default();
        for path in found {
            let below = path
                .strip_prefix(&prefix)
                .map_err(|_| Trouble::rejected(format!("the output `{pattern}` does not lie below `{prefix}`")))?;
            let target = target.below(below)?;
            match self.find(&path)? {
                Some(entry) => self.entry(&entry, &path, target, &mut Vec::new())?,
                None => self.leads_nowhere(&path),
            }
        }
        Ok(())
    }

    fn literal(&mut self, path: &str, output: &Output, target: Target) -> Result<(), Trouble> {
        let (path, shown) = (Path::new(path), redacted(&output.url));
        let Some(entry) = self.find(path)? else {
            return self.missing(path, output.kind, &shown);
        };
        let name = path.file_name().map(Path::new);
        let target = match (entry.kind(), name) {
            // Into the directory that the URL names.
            (EntryKind::File, Some(name)) if output.url.ends_with('/') => target.below(name)?,
            (EntryKind::Directory, _) => Target { url: trimmed(&target.url), to: target.to.trimmed() },
            (EntryKind::File | EntryKind::Link | EntryKind::Special, _) => target,
        };
        if entry.kind() == EntryKind::Special {
            return Err(Trouble::rejected(format!(
                "output `{}` for `{shown}` is neither a file nor a directory",
                path.display()
            )));
        }
        self.entry(&entry, path, target, &mut Vec::new())
    }

    /// TES contract 10.2.
    fn missing(&mut self, path: &Path, kind: Option<Kind>, url: &str) -> Result<(), Trouble> {
        let linked = matches!(self.tree.find_itself(path), Ok(Some(_)));
        let why = match linked {
            true => "is a symbolic link that leads to nothing in the task's tree",
            false => "does not exist",
        };
        let message = format!("output `{}` for `{url}` {why}", path.display());
        match (kind, self.missing) {
            (Some(Kind::Directory), _) | (_, MissingOutput::Ignore) => {
                self.note(message);
                Ok(())
            }
            (Some(Kind::File) | None, MissingOutput::Fail) => Err(Trouble::rejected(message)),
        }
    }

    fn entry(
        &mut self,
        entry: &Entry,
        path: &Path,
        target: Target,
        above: &mut Vec<(u64, u64)>,
    ) -> Result<(), Trouble> {
        match entry.kind() {
            EntryKind::File => self.item(true, path, target),
            EntryKind::Directory => self.directory(entry, path, target, above),
            EntryKind::Link | EntryKind::Special => {
                self.note(format!("`{}` is neither a file nor a directory and was not delivered", path.display()));
                Ok(())
            }
        }
    }

    fn directory(
        &mut self,
        directory: &Entry,
        path: &Path,
        target: Target,
        above: &mut Vec<(u64, u64)>,
    ) -> Result<(), Trouble> {
        let reading = |error: io::Error| Trouble::reading(format!("cannot read `{}`", path.display()), &error);
        if above.contains(&directory.identity()) {
            self.note(format!("`{}` leads back to a directory around it and was not delivered", path.display()));
            return Ok(());
        }
        if above.len() == DEEPEST {
            return Err(Trouble::rejected(format!("`{}` is more than {DEEPEST} directories deep", path.display())));
        }
        self.item(false, path, target.clone())?;
        above.push(directory.identity());
        for name in directory.names().map_err(reading)? {
            let path = path.join(&name);
            if is_part(&path) {
                continue;
            }
            let target = target.below(Path::new(&name))?;
            match self.find(&path)? {
                Some(entry) => self.entry(&entry, &path, target, above)?,
                None => self.leads_nowhere(&path),
            }
        }
        above.pop();
        Ok(())
    }

    fn item(&mut self, file: bool, path: &Path, target: Target) -> Result<(), Trouble> {
        if self.collected.items.len() == MOST {
            return Err(Trouble::rejected(format!(
                "the outputs are more than {MOST} files; `{}` and what follows was not delivered",
                path.display()
            )));
        }
        self.collected.items.push(Item { file, path: path.to_owned(), target });
        Ok(())
    }

    fn find(&self, path: &Path) -> Result<Option<Entry>, Trouble> {
        match self.tree.find(path) {
            // A link that leads in a circle leads nowhere.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
            found => found.map_err(|error| Trouble::reading(format!("cannot read `{}`", path.display()), &error)),
        }
    }

    fn leads_nowhere(&mut self, path: &Path) {
        self.note(format!(
            "the symbolic link `{}` leads to nothing in the task's tree and was not delivered",
            path.display()
        ));
    }

    fn note(&mut self, line: String) {
        self.collected.notes.add(line);
    }
}

/// Whether this is what was left of a file that never became complete.
fn is_part(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PART))
}

/// A directory's URL without the slash at its end.
fn trimmed(url: &str) -> String {
    let trimmed = url.trim_end_matches('/');
    if trimmed.ends_with(':') || trimmed.is_empty() {
        return url.to_owned();
    }
    trimmed.to_owned()
}
