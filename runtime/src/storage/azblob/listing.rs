//! A page of List Blobs.

use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::storage::answer::date;
use crate::storage::checksum::{Algorithm, Checksum};
use crate::storage::store::{Listed, Object, Page, Tag};

/// One blob, as it is read.
#[derive(Default)]
struct Blob {
    name: String,
    encoded: bool,
    object: Object,
}

/// Reads a page; names lose what they all begin with. `None` when it is no such page.
///
/// It is read by events, since a reader that fills structures would trim names.
pub(super) fn page(xml: &[u8], prefix: &str) -> Option<Page> {
    let mut reader = Reader::from_reader(xml);
    let (mut page, mut path, mut blob, mut text) = (Page::default(), Vec::new(), Blob::default(), String::new());
    let mut complete = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                text.clear();
                match path.last().map(String::as_str) {
                    Some("Blob") => blob = Blob::default(),
                    Some("Name") => blob.encoded = is_encoded(&start),
                    Some(_) | None => {}
                }
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::CData(piece) => text.push_str(&piece),
            Event::GeneralRef(entity) => text.push_str(&resolved(&entity)?),
            Event::End(_) => {
                let within = path.iter().rev().nth(1).map(String::as_str);
                match (within, path.last().map(String::as_str)) {
                    (Some("Blob"), Some("Name")) => blob.name = std::mem::take(&mut text),
                    (Some("Properties" | "Metadata"), Some(name)) => blob.tell(name, text.trim()),
                    (Some("Blobs"), Some("Blob")) => page.entries.extend(std::mem::take(&mut blob).listed(prefix)),
                    (Some("EnumerationResults"), Some("NextMarker")) => {
                        page.next = Some(std::mem::take(&mut text)).filter(|marker| !marker.is_empty());
                    }
                    (None, Some("EnumerationResults")) => complete = true,
                    (Some(_) | None, Some(_) | None) => {}
                }
                path.pop();
                text.clear();
            }
            Event::Eof => return complete.then_some(page),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// Names that XML cannot hold come percent-encoded.
fn is_encoded(name: &BytesStart<'_>) -> bool {
    let told = name.try_get_attribute("Encoded").ok().flatten();
    told.is_some_and(|told| told.value.as_ref().eq_ignore_ascii_case("true"))
}

fn resolved(entity: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Some(letter) = entity.resolve_char_ref().ok()? {
        return Some(letter.to_string());
    }
    quick_xml::escape::resolve_predefined_entity(entity).map(str::to_owned)
}

impl Blob {
    fn tell(&mut self, name: &str, text: &str) {
        let object = &mut self.object;
        match name {
            "Content-Length" => object.size = text.parse().ok(),
            "Last-Modified" => object.modified = date(text),
            // Headers have it with quotes, listings without.
            "Etag" => object.tag = Some(Tag(format!("\"{}\"", text.trim_matches('"')))),
            "Content-MD5" => object.checksums.extend(Checksum::from_base64(Algorithm::Md5, text)),
            "ResourceType" => object.directory |= text.eq_ignore_ascii_case("directory"),
            name if name.eq_ignore_ascii_case("hdi_isfolder") => object.directory |= text.eq_ignore_ascii_case("true"),
            _ => {}
        }
    }

    fn listed(mut self, prefix: &str) -> Option<Listed> {
        if self.encoded {
            self.name = percent_decode_str(&self.name).decode_utf8().ok()?.into_owned();
        }
        let mut name = self.name.strip_prefix(prefix)?.to_owned();
        // What stands for a directory, as tools make it that show a container as a file system.
        if name.ends_with('/') && self.object.size == Some(0) {
            self.object.directory = true;
        }
        if self.object.directory {
            name.truncate(name.trim_end_matches('/').len());
        }
        (!name.is_empty()).then_some(Listed { name, object: self.object })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_page() {
        let xml = r#"<?xml version="1.0" encoding="utf-8"?>
            <EnumerationResults ServiceEndpoint="https://acc.blob.core.windows.net/" ContainerName="c">
              <Prefix>d/</Prefix>
              <Blobs>
                <Blob><Name>d/</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>
                <Blob><Name>d/ a &amp; b&#x9; </Name>
                  <Properties>
                    <Last-Modified>Wed, 09 Sep 2009 09:20:02 GMT</Last-Modified><Etag>0x8CBFF45D8A29A19</Etag>
                    <Content-Length>5</Content-Length><Content-MD5>XUFAKrxLKna5cZ2REBfFkg==</Content-MD5>
                    <BlobType>BlockBlob</BlobType>
                  </Properties>
                  <Metadata><Name>hidden</Name></Metadata>
                </Blob>
                <Blob><Name Encoded="true">d/x%EF%BF%BE%25</Name><Properties/></Blob>
                <Blob><Name>d/sub</Name><Properties><Content-Length>0</Content-Length></Properties>
                  <Metadata><hdi_isfolder>true</hdi_isfolder></Metadata></Blob>
                <Blob><Name>d/marked/</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>
                <Blob><Name>d/100%25</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>
              </Blobs>
              <NextMarker>2!76!next</NextMarker>
            </EnumerationResults>"#;
        let page = page(xml.as_bytes(), "d/").unwrap();
        assert_eq!(page.next.as_deref(), Some("2!76!next"));
        let names: Vec<_> = page.entries.iter().map(|entry| (entry.name.as_str(), entry.object.directory)).collect();
        let expected =
            [(" a & b\t ", false), ("x\u{fffe}%", false), ("sub", true), ("marked", true), ("100%25", false)];
        assert_eq!(names, expected);
        let object = &page.entries[0].object;
        assert_eq!(object.size, Some(5));
        assert_eq!(object.tag, Some(Tag("\"0x8CBFF45D8A29A19\"".to_owned())));
        assert_eq!(object.modified.unwrap().to_string(), "2009-09-09T09:20:02Z");
        assert_eq!(object.checksums.len(), 1);
    }

    #[test]
    fn the_last_page_names_no_other() {
        let xml = "<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>";
        assert_eq!(page(xml.as_bytes(), ""), Some(Page::default()));
    }

    #[test]
    fn half_a_page_is_none() {
        for xml in ["", "<html></html>", "<EnumerationResults><Blobs><Blob><Name>a</Name>", "{}"] {
            assert_eq!(page(xml.as_bytes(), ""), None, "{xml}");
        }
    }
}
