//! Container paths and patterns, as far as a request can be judged by them (TES contract 4.7, 9.7, 10.10, 11.2).

/// Directory of the runtime in every container.
const OURS: &str = ".tessera";

/// Bytes of the longest path that Linux takes. How long one name in it may be depends on the file system, so that a
/// name which is too long fails the task where it is made.
const LONGEST_PATH: usize = 4_095;

/// What begins a wildcard; `{` begins alternatives (10.9).
const WILD: [char; 5] = ['*', '?', '[', '{', '\\'];

/// An absolute container path, also `/`; the error says what would be right.
pub fn absolute(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("{} is not absolute; a container path begins with `/`", shown(path)));
    }
    if path.len() > LONGEST_PATH {
        return Err(format!("{} is too long; Linux takes {LONGEST_PATH} bytes", shown(path)));
    }
    if components(path).any(|part| part == "..") {
        return Err(format!("{} holds `..`; name the place itself", shown(path)));
    }
    if components(path).next() == Some(OURS) {
        return Err(format!("{} lies in `/{OURS}`, which the runtime keeps for itself", shown(path)));
    }
    Ok(())
}

/// An absolute container path of something that is brought in, delivered or made: not `/` itself (11.2).
pub fn below_root(path: &str) -> Result<(), String> {
    absolute(path)?;
    if components(path).next().is_none() {
        return Err(format!("{} is the whole file system; name something in it", shown(path)));
    }
    Ok(())
}

/// Whether an output's path and prefix fit together (10.10). The prefix counts only with a pattern.
pub fn pattern(path: &str, prefix: Option<&str>) -> Result<(), String> {
    let Some(prefix) = prefix else {
        // A bare `[` is a literal name.
        if path.contains(['*', '?']) {
            return Err("the path holds `*` or `?`; say with `path_prefix` what to remove from each match".to_owned());
        }
        return Ok(());
    };
    if !path.contains(['*', '?', '[']) && !has_alternatives(path) {
        return Ok(());
    }
    if !prefix.starts_with('/') {
        return Err(format!("{} is not absolute; it begins the pattern, and that begins with `/`", shown(prefix)));
    }
    let mut head = components(path).take_while(|part| !part.contains(WILD));
    if components(prefix).any(|part| head.next() != Some(part)) {
        return Err(format!(
            "{} is not how the pattern {} begins, directory by directory, before its first wildcard",
            shown(prefix),
            shown(path)
        ));
    }
    Ok(())
}

fn has_alternatives(path: &str) -> bool {
    path.split('{').skip(1).any(|inside| inside.split('}').next().is_some_and(|inside| inside.contains(',')))
}

/// The names in a path, empty ones and `.` left out.
pub fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// A text of the caller's as a message shows it: quoted, and not longer than a line.
pub fn shown(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_9_7_and_11_2_container_paths() {
        for (path, is_path, is_below_root) in [
            ("/", true, false),
            ("//", true, false),
            ("/./", true, false),
            ("/data", true, true),
            ("/data/", true, true),
            ("/..data/x..", true, true),
            ("/tmp/../../..", false, false),
            ("/a/..", false, false),
            ("data", false, false),
            ("", false, false),
            ("/.tessera", false, false),
            ("//./.tessera/tree", false, false),
            ("/.tessera2", true, true),
            ("/data/.tessera", true, true),
        ] {
            assert_eq!(absolute(path).is_ok(), is_path, "{path}");
            assert_eq!(below_root(path).is_ok(), is_below_root, "{path}");
        }
        assert!(absolute(&format!("/{}", "x".repeat(4_094))).is_ok());
        assert!(absolute(&format!("/{}", "x".repeat(4_095))).is_err());
    }

    #[test]
    fn rule_10_10_wildcards_and_prefixes() {
        for (path, prefix, fits) in [
            ("/out/*.txt", None, false),
            ("/out/a?", None, false),
            ("/out/[a]", None, true),
            ("/out/{a,b}", None, true),
            ("/out/a", Some("/elsewhere"), true),
            ("/out/a", Some("relative"), true),
            ("/out/{sample}", Some("/elsewhere"), true),
            ("/out/*.txt", Some("/out"), true),
            ("/out/*.txt", Some("/out/"), true),
            ("/out/*.txt", Some("/"), true),
            ("/out/*.txt", Some("/ou"), false),
            ("/out/*.txt", Some("/out/a"), false),
            ("/out/*.txt", Some("/out/*.txt"), false),
            ("/out/*/a", Some("/out/*"), false),
            ("/out/*.txt", Some("out"), false),
            ("/out/[ab]/c", Some("/out"), true),
            ("/out/[ab]/c", Some("/other"), false),
            ("/out/{a,b}/c", Some("/other"), false),
            ("/out/a/b*", Some("/out/a"), true),
        ] {
            assert_eq!(pattern(path, prefix).is_ok(), fits, "{path} {prefix:?}");
        }
    }

    #[test]
    fn a_message_shows_no_novel() {
        assert_eq!(shown("ä"), "`ä`");
        assert_eq!(shown(&"ä".repeat(1000)).chars().count(), 123);
    }
}
