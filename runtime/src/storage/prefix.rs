//! URL prefixes: which settings, which lists a URL falls under.
//!
//! A prefix covers whatever lies below it, by component: `s3://data/run1` covers `s3://data/run1/x`, not
//! `s3://data/run10`. A `*` at its end covers any continuation: `s3://lab-*`. A scheme alone (`s3://`) covers all of
//! it. Prefixes are compared with the canonical form of a URL ([`Remote::canonical`](super::location::Remote::canonical)).

/// Whether a prefix covers a canonical URL.
pub fn covers(prefix: &str, canonical: &str) -> bool {
    if let Some(open) = prefix.strip_suffix('*') {
        return canonical.starts_with(open);
    }
    let Some(rest) = canonical.strip_prefix(prefix) else {
        // A directory's URL with or without the slash at its end.
        return prefix.strip_suffix('/') == Some(canonical) && !canonical.ends_with('/');
    };
    rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
}

/// The most specific of the prefixes that cover a canonical URL: the longest.
pub fn most_specific<'a, T>(
    items: impl IntoIterator<Item = T>,
    prefix: impl Fn(&T) -> &'a str,
    canonical: &str,
) -> Option<T> {
    let covering = items.into_iter().filter(|item| covers(prefix(item), canonical));
    covering.max_by_key(|item| prefix(item).trim_end_matches(['/', '*']).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_a_component() {
        for (prefix, url, covered) in [
            ("s3://", "s3://b/k", true),
            ("s3://b", "s3://b/k", true),
            ("s3://b", "s3://b2/k", false),
            ("s3://b*", "s3://b2/k", true),
            ("s3://b/run1", "s3://b/run10", false),
            ("s3://b/run1/", "s3://b/run1/x", true),
            ("s3://b/run1/", "s3://b/run1", true),
            ("https://host", "https://host.evil/x", false),
            ("https://host", "https://host/x", true),
            ("gs://", "s3://b/k", false),
        ] {
            assert_eq!(covers(prefix, url), covered, "{prefix} {url}");
        }
    }

    #[test]
    fn the_longest_wins() {
        let prefixes = ["s3://", "s3://b/run1", "s3://b", "s3://c/very/long"];
        assert_eq!(most_specific(prefixes, |p| p, "s3://b/run1/x"), Some("s3://b/run1"));
        assert_eq!(most_specific(prefixes, |p| p, "s3://b/x"), Some("s3://b"));
        assert_eq!(most_specific(prefixes, |p| p, "gs://b/x"), None);
    }
}
