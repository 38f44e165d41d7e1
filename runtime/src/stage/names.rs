//! Names in a storage that become names of files.

/// The relative path that a name below a directory stands for; `None` when it stands for none: it would lead out
/// (`..`), or to the same file as another name.
pub(super) fn as_path(name: &str) -> Option<&str> {
    let name = name.strip_suffix('/').unwrap_or(name);
    let plain = name.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
    plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_stay_below() {
        for (name, path) in [
            ("a", Some("a")),
            ("a/b c+%#ä", Some("a/b c+%#ä")),
            ("a/", Some("a")),
            ("..", None),
            ("a/../b", None),
            ("/a", None),
            ("a//b", None),
            ("./a", None),
            ("a\0", None),
            ("", None),
        ] {
            assert_eq!(as_path(name), path, "{name:?}");
        }
    }
}
