//! `KEY=VALUE` on the command line.

/// Splits at the first `=`.
pub fn parse(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it as KEY=VALUE".to_owned()),
    }
}

/// A tag to look for: `KEY=VALUE`, or `KEY` for any value.
pub fn parse_tag(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("write it as KEY or KEY=VALUE".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
        None if text.is_empty() => Err("write it as KEY or KEY=VALUE".to_owned()),
        None => Ok((text.to_owned(), None)),
    }
}
