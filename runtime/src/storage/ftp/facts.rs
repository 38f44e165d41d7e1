//! What listings say: `MLSD` and `MLST` (RFC 3659, 7), and `LIST`, which no standard describes.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use suppaftp::list::ListParser;

use super::super::store::{Object, Tag};

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// The directory that is listed, or the one above it.
    Around,
    /// A link, or a thing that the server has its own word for: it has to be asked about.
    Unclear,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) object: Object,
}

/// `type=file;size=12;modify=19941106084937; name`
pub(super) fn machine(line: &str) -> Option<Facts> {
    // No fact holds a space before the one that ends them all.
    let (facts, name) = match line.strip_prefix(' ') {
        Some(name) => ("", name),
        None => line.split_once("; ").or_else(|| Some((line.strip_suffix(';')?, "")))?,
    };
    let (mut kind, mut size, mut modified) = (Kind::File, None, None);
    for fact in facts.split(';') {
        let Some((key, value)) = fact.split_once('=') else { continue };
        match key.to_ascii_lowercase().as_str() {
            "type" => {
                kind = match value.to_ascii_lowercase().as_str() {
                    "file" => Kind::File,
                    "dir" => Kind::Directory,
                    "cdir" | "pdir" => Kind::Around,
                    _ => Kind::Unclear,
                }
            }
            "size" => size = value.parse().ok(),
            "modify" => modified = Some(value),
            _ => {}
        }
    }
    let object = match kind {
        Kind::File => object(size, modified),
        Kind::Directory | Kind::Around => Object { directory: true, ..Object::default() },
        Kind::Unclear => Object::default(),
    };
    Some(Facts { name: name.to_owned(), kind, object })
}

/// A line of `LIST` as Unix or Windows write it; `None` for one that names nothing. Its times lack the year or the
/// zone, so they are left out.
pub(super) fn human(line: &str) -> Result<Option<Facts>, String> {
    if line.starts_with("total ") {
        return Ok(None);
    }
    let parsed = ListParser::parse_posix(line).or_else(|_| ListParser::parse_dos(line));
    let file = parsed.map_err(|_| format!("a line of the listing cannot be read: `{line}`"))?;
    let kind = match file.name() {
        "." | ".." => Kind::Around,
        _ if file.is_symlink() => Kind::Unclear,
        _ if file.is_directory() => Kind::Directory,
        _ => Kind::File,
    };
    let size = (kind == Kind::File).then(|| u64::try_from(file.size()).ok()).flatten();
    let object = Object { directory: kind == Kind::Directory, size, ..Object::default() };
    Ok(Some(Facts { name: file.name().to_owned(), kind, object }))
}

/// A file of which this is known: size and time name its version.
pub(super) fn object(size: Option<u64>, modified: Option<&str>) -> Object {
    // Fractions are told by one command and not by the other.
    let modified = modified.map(|time| time.split('.').next().unwrap_or(time));
    let tag = size.zip(modified).map(|(size, time)| Tag(format!("{size}@{time}")));
    let time = modified.and_then(|time| DateTime::strptime("%Y%m%d%H%M%S", time).ok());
    let modified = time.and_then(|time| TimeZone::UTC.to_timestamp(time).ok());
    Object { size, tag, modified, ..Object::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_for_machines() {
        let line = "type=file;size=12;modify=19941106084937.123;UNIX.mode=0644; a; b ";
        let facts = machine(line).unwrap();
        assert_eq!((facts.name.as_str(), facts.kind), ("a; b ", Kind::File));
        assert_eq!(facts.object.size, Some(12));
        assert_eq!(facts.object.tag, Some(Tag("12@19941106084937".to_owned())));
        assert_eq!(facts.object.modified.unwrap().to_string(), "1994-11-06T08:49:37Z");
        for (line, kind) in [
            ("Type=DIR;Perm=el; d", Kind::Directory),
            ("type=cdir; .", Kind::Around),
            ("type=OS.unix=slink:/x; l", Kind::Unclear),
            (" bare", Kind::File),
        ] {
            assert_eq!(machine(line).unwrap().kind, kind, "{line}");
        }
        assert_eq!(machine("nonsense"), None);
    }

    #[test]
    fn lines_for_people() {
        let read = |line: &str| human(line).unwrap().map(|facts| (facts.name, facts.kind, facts.object.size));
        let unix = "-rw-r--r--   1 user group  1024 Nov  5 13:46 a b";
        assert_eq!(read(unix), Some(("a b".to_owned(), Kind::File, Some(1024))));
        let directory = "drwxr-xr-x   2 user group  4096 Nov  5 13:46 d";
        assert_eq!(read(directory), Some(("d".to_owned(), Kind::Directory, None)));
        let link = "lrwxrwxrwx   1 user group     4 Nov  5 13:46 l -> a b";
        assert_eq!(read(link), Some(("l".to_owned(), Kind::Unclear, None)));
        assert_eq!(read("total 12"), None);
        let windows = "04-08-14  03:09PM                  403 x.txt";
        assert_eq!(read(windows), Some(("x.txt".to_owned(), Kind::File, Some(403))));
        assert!(human("what is this").is_err());
    }
}
