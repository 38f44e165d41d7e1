//! What Kubernetes takes for a name, a label, a path.

/// A namespace: lower-case letters, digits and `-`, at most 63.
pub(super) fn is_label_name(text: &str) -> bool {
    text.len() <= 63
        && between(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The name of most objects: such parts between dots, at most 253 letters.
pub(super) fn is_object_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|part| is_label_name(part) || (part.len() > 63 && is_long_part(part)))
}

/// Unlike the parts of a host's name, those of an object's name may be long.
fn is_long_part(part: &str) -> bool {
    between(part, |b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The key of a label or annotation: a name, if need be behind a domain and a `/`.
pub(super) fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_object_name(domain) && is_name(name),
        None => is_name(text),
    }
}

/// The value of a label: a name, or nothing.
pub(super) fn is_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && between(text, |b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn between(text: &str, end: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(&end) && text.bytes().next_back().is_some_and(&end)
}

/// A resource that is counted in whole pieces: of a domain that is not Kubernetes' own.
pub(super) fn is_extended_resource(text: &str) -> bool {
    let Some((domain, _)) = text.split_once('/') else { return false };
    is_key(text)
        && !text.starts_with("requests.")
        && domain != "kubernetes.io"
        && !domain.ends_with(".kubernetes.io")
        // It is also the name of a quota, `requests.NAME`.
        && is_key(&format!("requests.{text}"))
}

/// An absolute path without detours, letters that end a text, or `:`, which Kubernetes refuses.
pub(super) fn is_mount_path(text: &str) -> bool {
    text.len() > 1
        && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
        && !text.contains([':', '\0', '\n'])
}

/// Whether `path` is `folder` or below it.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The name of a variable, as every version of Kubernetes takes it.
pub(super) fn is_variable(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
