//! Which content types are sent and wanted (TES contract 3.9, 4.13).

use axum::http::{HeaderMap, HeaderValue, header};

use super::error::ApiError;

/// 406, but only when JSON is really excluded.
pub fn accepts_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if ranges.peek().is_none() {
        return Ok(());
    }
    // The most exact range that speaks of JSON decides.
    let mut best: Option<(u8, bool)> = None;
    let mut said = false;
    for range in ranges.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty()) {
        said = true;
        let mut parts = range.split(';').map(str::trim);
        let exactness = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/json" => 3,
            "application/*" => 2,
            "*/*" | "*" => 1,
            _ => continue,
        };
        let wanted = !parts.any(is_zero_quality);
        best = best.max(Some((exactness, wanted)));
    }
    match best {
        Some((_, true)) => Ok(()),
        None if !said => Ok(()),
        Some((_, false)) | None => Err(ApiError::not_acceptable()),
    }
}

fn is_zero_quality(parameter: &str) -> bool {
    let quality = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    quality.and_then(|quality| quality.parse::<f32>().ok()).is_some_and(|quality| quality <= 0.0)
}

/// 415 when a body is said to be something other than JSON; without a word it is read as JSON.
pub fn sends_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_json = |value: &HeaderValue| {
        let essence = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
        essence.is_empty() || essence.eq_ignore_ascii_case("application/json")
    };
    if headers.get_all(header::CONTENT_TYPE).iter().all(is_json) {
        Ok(())
    } else {
        Err(ApiError::unsupported_media_type())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn rule_3_9_only_a_real_exclusion_is_406() {
        for (values, accepted) in [
            (&[][..], true),
            (&[""], true),
            (&["*/*"], true),
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/*"], true),
            (&["text/html, application/xhtml+xml, */*;q=0.1"], true),
            (&["text/html", "application/json"], true),
            (&["*, text/html"], true),
            (&["*/*;q=0, application/json"], true),
            (&["text/html"], false),
            (&["application/json;q=0, */*"], false),
            (&["*/*; q=0.0"], false),
            (&["\u{ff}"], true),
        ] {
            let headers = headers(header::ACCEPT, values);
            assert_eq!(accepts_json(&headers).is_ok(), accepted, "{values:?}");
        }
    }

    #[test]
    fn rule_4_13_without_a_type_it_is_json() {
        for (values, read) in [
            (&[][..], true),
            (&[""], true),
            (&["application/json"], true),
            (&["application/json; charset=utf-8"], true),
            (&["text/plain"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["application/json", "text/plain"], false),
            (&["\u{ff}"], false),
        ] {
            assert_eq!(sends_json(&headers(header::CONTENT_TYPE, values)).is_ok(), read, "{values:?}");
        }
    }
}
