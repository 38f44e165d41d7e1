//! Checksums in headers.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

use crate::storage::checksum::{Algorithm, Checksum};
use crate::storage::store::Object;

/// Asks for the checksums that the service has of an object.
pub(super) const MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
/// The checksum of what a request carries.
pub(super) const CRC32C: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
/// Which checksums the parts of an upload will carry.
pub(super) const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
/// Whether a checksum is of the whole object or of the checksums of its parts.
pub(super) const TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
/// Of the whole object.
pub(super) const FULL_OBJECT: HeaderValue = HeaderValue::from_static("FULL_OBJECT");

const KNOWN: [(&str, Algorithm); 5] = [
    ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme),
    ("x-amz-checksum-crc32c", Algorithm::Crc32c),
    ("x-amz-checksum-crc32", Algorithm::Crc32),
    ("x-amz-checksum-sha256", Algorithm::Sha256),
    ("x-amz-checksum-sha1", Algorithm::Sha1),
];

/// The checksums of a whole object. A stretch of it comes with those of a part, if with any.
pub(super) fn promised(status: StatusCode, headers: &HeaderMap, object: &Object) -> Vec<Checksum> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_whole = status != StatusCode::PARTIAL_CONTENT || length.is_some() && length == object.size;
    let of_parts = headers.get(TYPE).is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(b"COMPOSITE"));
    if of_parts || !is_whole {
        return Vec::new();
    }
    // One of the checksums of parts ends in `-` and their number, and so is not a value.
    let read =
        |(name, algorithm): &(&str, Algorithm)| Checksum::from_base64(*algorithm, headers.get(*name)?.to_str().ok()?);
    KNOWN.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(status: StatusCode, headers: &[(&'static str, &'static str)]) -> Vec<Algorithm> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let object = Object { size: Some(10), ..Object::default() };
        promised(status, &headers, &object).into_iter().map(|sum| sum.algorithm).collect()
    }

    #[test]
    fn only_of_the_whole() {
        let crc = ("x-amz-checksum-crc32c", "AAAAAA==");
        let sha = ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let (ok, partial) = (StatusCode::OK, StatusCode::PARTIAL_CONTENT);
        assert_eq!(found(ok, &[crc, sha]), [Algorithm::Crc32c, Algorithm::Sha1]);
        assert_eq!(found(ok, &[crc, ("x-amz-checksum-type", "FULL_OBJECT")]), [Algorithm::Crc32c]);
        assert_eq!(found(ok, &[crc, ("x-amz-checksum-type", "COMPOSITE")]), []);
        assert_eq!(found(ok, &[("x-amz-checksum-crc32c", "AAAAAA==-3")]), []);
        assert_eq!(found(ok, &[("x-amz-checksum-crc32c", "nonsense")]), []);
        assert_eq!(found(partial, &[crc, ("content-length", "5")]), []);
        assert_eq!(found(partial, &[crc, ("content-length", "10")]), [Algorithm::Crc32c]);
    }
}
