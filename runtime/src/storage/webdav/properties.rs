//! What an answer to PROPFIND says (RFC 4918, 9.1 and 13).

use percent_encoding::percent_decode_str;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::{NsReader, escape};
use reqwest::Url;

use super::super::answer::date;
use super::super::store::{Object, Tag};
use super::super::tree::Held;

/// Elements within one another: an answer needs six.
const DEEPEST: usize = 32;
/// How long one tag may be: what it declares is looked through for every name in it.
const TAG_BYTES: usize = 4096;

/// What is asked for; more would make the answers of large directories larger.
pub(super) const QUESTION: &str = concat!(
    r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop>"#,
    r#"<D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop></D:propfind>"#,
);

/// One thing that an answer speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path on the server, percent signs decoded, without a slash at its end.
    pub(super) path: String,
    /// What is known of it.
    pub(super) object: Object,
}

/// Properties that came with one status.
#[derive(Debug, Default)]
struct Properties {
    refused: bool,
    directory: bool,
    size: Option<u64>,
    etag: Option<String>,
    modified: Option<String>,
}

/// Everything an answer speaks of. What it says is missing is left out.
pub(super) fn parse(xml: &str) -> Result<Vec<Found>, String> {
    let mut reader = NsReader::from_str(xml);
    let (mut found, mut path, mut text) = (Vec::new(), Vec::<&'static str>::new(), String::new());
    let mut held = Held::default();
    let (mut one, mut gone, mut some) = (Found::default(), false, Properties::default());
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|error| error.to_string())?;
        // Elements of others get a name that nothing matches.
        let ours = namespace == ResolveResult::Bound(Namespace("DAV:"));
        match event {
            Event::Start(start) => {
                if path.len() == DEEPEST || start.len() > TAG_BYTES {
                    return Err(format!("its elements lie more than {DEEPEST} deep, or are longer than any need be"));
                }
                path.push(if ours { name(start.local_name().as_ref()) } else { "" });
                text.clear();
                match path.as_slice() {
                    [.., "response"] => (one, gone) = (Found::default(), false),
                    [.., "propstat"] => some = Properties::default(),
                    [.., "resourcetype", "collection"] => some.directory = true,
                    _ => {}
                }
            }
            Event::Empty(empty) => {
                if ours && empty.local_name().as_ref() == "collection" && path.last() == Some(&"resourcetype") {
                    some.directory = true;
                }
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::CData(piece) => text.push_str(&piece),
            Event::GeneralRef(name) => {
                let meant = escape::unescape(&format!("&{};", &*name)).map_err(|error| error.to_string())?.into_owned();
                text.push_str(&meant);
            }
            Event::End(_) => {
                let said = text.trim();
                match path.as_slice() {
                    [.., "response", "href"] => one.path = decoded(said)?,
                    [.., "response", "status"] => gone = !is_success(said),
                    [.., "propstat", "status"] => some.refused = !is_success(said),
                    [.., "prop", "getcontentlength"] => some.size = said.parse().ok(),
                    [.., "prop", "getetag"] => some.etag = Some(said.to_owned()),
                    [.., "prop", "getlastmodified"] => some.modified = Some(said.to_owned()),
                    [.., "propstat"] if !some.refused => apply(&mut one.object, &some),
                    [.., "response"] if !gone => {
                        held.add(one.path.len())?;
                        found.push(std::mem::take(&mut one));
                    }
                    _ => {}
                }
                path.pop();
                text.clear();
            }
            Event::Eof => return Ok(found),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// The name of an element that means something here; empty for any other.
fn name(told: &str) -> &'static str {
    const NAMES: [&str; 10] = [
        "response",
        "href",
        "propstat",
        "status",
        "prop",
        "resourcetype",
        "collection",
        "getcontentlength",
        "getetag",
        "getlastmodified",
    ];
    NAMES.into_iter().find(|name| *name == told).unwrap_or_default()
}

/// `HTTP/1.1 200 OK`
fn is_success(status: &str) -> bool {
    status.split_whitespace().nth(1).is_some_and(|code| code.starts_with('2'))
}

fn apply(object: &mut Object, said: &Properties) {
    object.directory |= said.directory;
    object.size = if object.directory { None } else { said.size.or(object.size) };
    if let Some(modified) = &said.modified {
        object.modified = date(modified);
    }
    // The same as the headers of a GET say: a strong tag, otherwise the date. Some leave out the quotes here.
    let strong = said.etag.as_deref().filter(|etag| !etag.is_empty() && !etag.starts_with("W/"));
    let tag = match strong {
        Some(etag) if etag.starts_with('"') => Some(etag.to_owned()),
        Some(etag) => Some(format!("\"{etag}\"")),
        None => said.modified.clone(),
    };
    if let Some(tag) = tag.filter(|_| !object.directory) {
        object.tag = Some(Tag(tag));
    }
}

/// A URL or a path, as a path.
fn decoded(href: &str) -> Result<String, String> {
    let path = match href.contains("://") {
        true => Url::parse(href).map_err(|_| "it names something that is no URL".to_owned())?.path().to_owned(),
        false => href.to_owned(),
    };
    let path =
        percent_decode_str(&path).decode_utf8().map_err(|_| "it names something that is not UTF-8".to_owned())?;
    Ok(path.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::super::tree::MOST;
    use super::*;

    #[test]
    fn any_prefix_and_any_form_of_name() {
        let xml = r#"<?xml version="1.0"?>
            <multistatus xmlns="DAV:" xmlns:x="urn:other">
              <response><href>/dav/d/</href><propstat>
                <prop><resourcetype><collection/></resourcetype><getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</getlastmodified></prop>
                <status>HTTP/1.1 200 OK</status></propstat>
                <propstat><prop><getcontentlength/><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat>
              </response>
              <Z:response xmlns:Z="DAV:"><Z:href>https://host:8443/dav/d/a%20b%26c&amp;d</Z:href><Z:propstat>
                <Z:prop><Z:resourcetype/><x:collection/><Z:getcontentlength>12</Z:getcontentlength>
                <Z:getetag>"ab&quot;</Z:getetag></Z:prop><Z:status>HTTP/1.1 200 OK</Z:status></Z:propstat></Z:response>
              <response><href>/dav/d/gone</href><status>HTTP/1.1 404 Not Found</status></response>
            </multistatus>"#;
        let found = parse(xml).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].object.directory), ("/dav/d", true));
        assert_eq!(found[0].object.size, None);
        assert_eq!(found[1].path, "/dav/d/a b&c&d");
        assert_eq!((found[1].object.directory, found[1].object.size), (false, Some(12)));
        assert_eq!(found[1].object.tag, Some(Tag("\"ab\"".to_owned())));
    }

    #[test]
    fn tags_are_those_that_reading_names() {
        let tag = |etag: &str| {
            let xml = format!(
                r#"<D:multistatus xmlns:D="DAV:"><D:response><D:href>/x</D:href><D:propstat><D:prop>
                <D:getetag>{etag}</D:getetag><D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>
                </D:prop></D:propstat></D:response></D:multistatus>"#
            );
            parse(&xml).unwrap().remove(0).object.tag.unwrap().0
        };
        assert_eq!(tag("\"a\""), "\"a\"");
        assert_eq!(tag("a"), "\"a\"");
        assert_eq!(tag("W/\"a\""), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(tag(""), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn what_would_take_too_much_to_read_is_refused() {
        let nested = |deep: usize| format!("{}{}", "<a>".repeat(deep), "</a>".repeat(deep));
        assert_eq!(parse(&nested(DEEPEST)).unwrap(), []);
        assert!(parse(&nested(DEEPEST + 1)).is_err());
        assert!(parse(&"<a>".repeat(1 << 20)).unwrap_err().contains("deep"));
        assert!(parse(&format!("<a b=\"{}\"></a>", "x".repeat(TAG_BYTES))).is_err());
        let many = "<D:response/>".replace("/>", "></D:response>").repeat(MOST + 1);
        let many = format!("<D:multistatus xmlns:D=\"DAV:\">{many}</D:multistatus>");
        assert!(parse(&many).unwrap_err().contains("more than"));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for xml in ["<a><b></a>", "<a>&nonsense;</a>"] {
            assert!(parse(xml).is_err(), "{xml}");
        }
        assert_eq!(parse("").unwrap(), []);
    }
}
