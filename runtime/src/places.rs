//! Container paths, compared component by component: `/tmp` and `/tmpdata` have nothing in common.
//!
//! All functions but [`normal`] expect what it answers.

/// Directories whose content belongs to the image: mounting over them would hide it.
const IMAGE_OWNED: [&str; 15] = [
    "/bin", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libexec", "/libo32", "/libx32", "/opt", "/root", "/run",
    "/sbin", "/usr", "/var",
];

/// File systems of the kernel.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Ours.
const RESERVED: &str = "/.tessera";

/// An absolute path without `.`, empty components and a trailing slash; `None` when it is relative, holds `..`
/// or a NUL.
pub(crate) fn normal(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut normal = String::with_capacity(path.len());
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => return None,
            name => {
                normal.push('/');
                normal.push_str(name);
            }
        }
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Some(normal)
}

/// Whether a path is a directory or lies below it.
pub(crate) fn is_within(path: &str, directory: &str) -> bool {
    match path.strip_prefix(directory) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || directory == "/",
        None => false,
    }
}

/// The directory that holds a path; `/` holds itself.
pub(crate) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// Whether what lies directly in this directory belongs to the image.
pub(crate) fn is_image_owned(directory: &str) -> bool {
    directory == "/" || IMAGE_OWNED.iter().any(|root| is_within(directory, root))
}

/// Whether this is one of the directories that every image has for itself.
pub(crate) fn is_image_root(path: &str) -> bool {
    path == "/" || IMAGE_OWNED.contains(&path)
}

/// Whether this lies in a file system of the kernel.
pub(crate) fn is_kernel(path: &str) -> bool {
    KERNEL.iter().any(|root| is_within(path, root))
}

/// Whether this lies in the directory that is ours.
pub(crate) fn is_reserved(path: &str) -> bool {
    is_within(path, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normal() {
        for (given, expected) in [
            ("/", Some("/")),
            ("//", Some("/")),
            ("/a/", Some("/a")),
            ("/a//b/./c", Some("/a/b/c")),
            ("a", None),
            ("", None),
            ("/a/../b", None),
            ("/a\0b", None),
        ] {
            assert_eq!(normal(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn rule_11_2_components_are_compared_not_text() {
        assert!(is_within("/tmp/x", "/tmp"));
        assert!(is_within("/tmp", "/tmp"));
        assert!(!is_within("/tmpdata", "/tmp"));
        assert!(is_within("/anything", "/"));
        assert!(!is_within("/", "/tmp"));
        assert!(!is_image_owned("/optional"));
        assert!(is_image_owned("/opt/tool"));
        assert!(!is_image_root("/opt/tool"));
        assert!(!is_reserved("/.tessera2"));
    }

    #[test]
    fn parents() {
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a"), "/");
        assert_eq!(parent("/"), "/");
    }
}
