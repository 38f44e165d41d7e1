//! A key's URL.

use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::storage::location::redacted;
use crate::storage::trouble::Trouble;

/// Encoded in a query and in a bucket's name; the signature knows no other way.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Encoded in a key.
const IN_KEY: &AsciiSet = &IN_QUERY.remove(b'/');

/// Where a bucket is spoken to.
#[derive(Debug)]
pub(super) enum Address {
    /// At AWS, whose hosts are named after regions.
    Aws { bucket: String, in_path: bool },
    /// Elsewhere; what stands before the slash of a key.
    Own { base: String },
}

impl Address {
    /// `endpoint` is somebody else's than AWS. Path style is for what cannot stand in a host's name, and what is usual
    /// at endpoints of one's own.
    pub(super) fn new(bucket: &str, endpoint: Option<&str>, path_style: Option<bool>) -> Result<Self, Trouble> {
        if is_dots(bucket) {
            return Err(Trouble::rejected(format!("`s3://{bucket}` names no bucket")));
        }
        let Some(endpoint) = endpoint else {
            let in_path = path_style.unwrap_or(false) || !fits_host(bucket);
            return Ok(Self::Aws { bucket: bucket.to_owned(), in_path });
        };
        let unfit = || Trouble::misconfigured(format!("the S3 endpoint `{}` is not a URL of HTTP", redacted(endpoint)));
        let url = Url::parse(endpoint).map_err(|_| unfit())?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(unfit)?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let (scheme, path) = (url.scheme(), url.path().trim_end_matches('/'));
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        let base = if path_style.unwrap_or(true) || is_address || !fits_host(bucket) {
            format!("{scheme}://{host}{port}{path}/{}", utf8_percent_encode(bucket, IN_QUERY))
        } else {
            format!("{scheme}://{bucket}.{host}{port}{path}")
        };
        Ok(Self::Own { base })
    }

    /// The URL of a key, or of the bucket for the empty one.
    pub(super) fn url(&self, region: &str, key: &str, query: &[(&str, String)]) -> Result<String, Trouble> {
        // Every client on the way would take them for steps in a path.
        if key.split('/').any(|name| !name.is_empty() && is_dots(name)) {
            return Err(Trouble::rejected("a key with `.` or `..` between slashes cannot be asked for through a URL"));
        }
        let mut url = self.base(region);
        url.push('/');
        url.extend(utf8_percent_encode(key, IN_KEY));
        for (n, (name, value)) in query.iter().enumerate() {
            url.push(if n == 0 { '?' } else { '&' });
            url.extend(utf8_percent_encode(name, IN_QUERY));
            url.push('=');
            url.extend(utf8_percent_encode(value, IN_QUERY));
        }
        Ok(url)
    }

    fn base(&self, region: &str) -> String {
        match self {
            Self::Own { base } => base.clone(),
            Self::Aws { bucket, in_path } => {
                let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
                let host = format!("s3.{region}.amazonaws.com{suffix}");
                match in_path {
                    true => format!("https://{host}/{}", utf8_percent_encode(bucket, IN_QUERY)),
                    false => format!("https://{bucket}.{host}"),
                }
            }
        }
    }
}

fn is_dots(name: &str) -> bool {
    matches!(name, "" | "." | "..")
}

/// Whether a bucket's name may be one label of a host's name: certificates cover no more than one.
fn fits_host(bucket: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    bucket.len() <= 63 && bucket.bytes().all(letters) && !bucket.starts_with('-') && !bucket.ends_with('-')
}

/// Whether a text may be a region's name. It becomes part of a host's name, and services send it.
pub(super) fn is_region(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::FaultClass;

    #[test]
    fn where_a_bucket_is() {
        let own = Some("http://127.0.0.1:7070/");
        for (bucket, endpoint, path_style, region, url) in [
            ("b", None, None, "us-east-1", "https://b.s3.us-east-1.amazonaws.com/k"),
            ("b", None, None, "cn-north-1", "https://b.s3.cn-north-1.amazonaws.com.cn/k"),
            ("b", None, Some(true), "eu-west-1", "https://s3.eu-west-1.amazonaws.com/b/k"),
            ("a.b", None, None, "eu-west-1", "https://s3.eu-west-1.amazonaws.com/a.b/k"),
            ("Old_One", None, None, "us-east-1", "https://s3.us-east-1.amazonaws.com/Old_One/k"),
            ("evil.org#", None, None, "us-east-1", "https://s3.us-east-1.amazonaws.com/evil.org%23/k"),
            ("b@c:1", None, Some(false), "us-east-1", "https://s3.us-east-1.amazonaws.com/b%40c%3A1/k"),
            ("b", own, None, "x", "http://127.0.0.1:7070/b/k"),
            ("b", own, Some(false), "x", "http://127.0.0.1:7070/b/k"),
            ("b", Some("https://u:p@s3.lab:9000/x?y"), None, "x", "https://s3.lab:9000/x/b/k"),
            ("b", Some("https://s3.lab:9000"), Some(false), "x", "https://b.s3.lab:9000/k"),
        ] {
            assert_eq!(Address::new(bucket, endpoint, path_style).unwrap().url(region, "k", &[]).unwrap(), url);
        }
    }

    #[test]
    fn keys_go_as_they_are() {
        let address = Address::new("b", Some("http://h"), None).unwrap();
        for (key, path) in [
            ("", ""),
            ("a b+c", "a%20b%2Bc"),
            ("100%/a%20b", "100%25/a%2520b"),
            ("x?y#z", "x%3Fy%23z"),
            ("/lead//two/", "/lead//two/"),
            ("ä-_.~", "%C3%A4-_.~"),
            ("..a/b../.c", "..a/b../.c"),
            ("a\\b\t\n", "a%5Cb%09%0A"),
        ] {
            let url = address.url("x", key, &[]).unwrap();
            assert_eq!(url, format!("http://h/b/{path}"));
            // Nothing on the way has its own idea of it.
            assert_eq!(Url::parse(&url).unwrap().as_str(), url);
        }
        for key in [".", "a/../b", "a/.", "../x", "./x"] {
            assert_eq!(address.url("x", key, &[]).unwrap_err().class, FaultClass::Rejected);
        }
        let query = [("prefix", "a b/+&=".to_owned()), ("uploads", String::new())];
        assert_eq!(address.url("x", "", &query).unwrap(), "http://h/b/?prefix=a%20b%2F%2B%26%3D&uploads=");
    }

    #[test]
    fn what_is_no_place() {
        assert_eq!(Address::new("..", None, None).unwrap_err().class, FaultClass::Rejected);
        for endpoint in ["", "host:9000", "ftp://h/", "https://user:SECRET@"] {
            let trouble = Address::new("b", Some(endpoint), None).unwrap_err();
            assert_eq!(trouble.class, FaultClass::Misconfigured);
            assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
        }
        assert!(is_region("eu-west-1") && !is_region("x.evil.org/") && !is_region(""));
    }
}
