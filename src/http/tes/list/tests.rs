#![allow(clippy::unwrap_used)]

use jiff::Timestamp;

use super::*;
use crate::http::tes::to_wire::Detail;

fn read(query: &str) -> Result<Asked, ApiError> {
    let (owner, installation) = (Owner::anonymous(), InstallationId("i".to_owned()));
    asked(&Query::read(Some(query)).unwrap(), Bound { owner: &owner, installation: &installation })
}

fn blamed(query: &str) -> String {
    read(query).expect_err(query).blamed().unwrap_or_default().to_owned()
}

#[test]
fn rule_8_2_page_size() {
    assert_eq!(read("").unwrap().query.size, 256);
    for (query, size) in [("page_size=1", 1), ("page_size=2047", 2047)] {
        assert_eq!(read(query).unwrap().query.size, size);
    }
    for query in ["0", "2048", "-1", "1.0", "ten", "", "99999999999999999999", "+5", "%2B5", " 5"] {
        let error = read(&format!("page_size={query}")).expect_err(query);
        assert_eq!(error.blamed(), Some("page_size"));
        assert!(error.message().contains("from 1 to 2047"));
    }
}

#[test]
fn rule_7_1_views_in_capitals() {
    assert_eq!(read("").unwrap().view, View::Minimal);
    assert_eq!(read("view=").unwrap().view, View::Minimal);
    assert_eq!(read("view=FULL").unwrap().view, View::Whole(Detail::Full));
    assert_eq!(read("view=BASIC").unwrap().view, View::Whole(Detail::Basic));
    assert_eq!(blamed("view=full"), "view");
}

#[test]
fn rule_8_5_no_state_is_no_filter() {
    assert_eq!(read("").unwrap().query.phase, None);
    assert!(!read("").unwrap().nothing);
    assert_eq!(read("state=RUNNING").unwrap().query.phase, Some(Phase::Running));
    assert!(read("state=UNKNOWN").unwrap().nothing);
    assert_eq!(blamed("state=running"), "state");
}

#[test]
fn rule_8_6_tags_are_zipped_by_position() {
    let tags = |query: &str| read(query).unwrap().query.tags;
    let pair = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    assert_eq!(tags("tag_key=a&tag_key=b&tag_value=x"), [pair("a", Some("x")), pair("b", None)]);
    assert_eq!(tags("tag_key=a&tag_value=&tag_key=b&tag_value=y"), [pair("a", None), pair("b", Some("y"))]);
    assert_eq!(tags("tag_key=a&tag_key=a&tag_value=1&tag_value=2"), [pair("a", Some("1")), pair("a", Some("2"))]);
    assert_eq!(tags("tag_key=&tag_value="), []);
    assert_eq!(tags("tag_value="), []);
    assert_eq!(tags("tag_key=&tag_value=x"), [pair("", Some("x"))]);
    assert_eq!(blamed("tag_value=x"), "tag_value");
    assert_eq!(blamed("tag_key=a&tag_value=x&tag_value=y"), "tag_value");
}

#[test]
fn rule_8_1_a_token_is_bound_to_its_listing_and_3_10_fits_into_a_url() {
    let (ada, bob) = (Owner("ada".to_owned()), Owner("bob".to_owned()));
    let (here, there) = (InstallationId("here".to_owned()), InstallationId("there".to_owned()));
    let bound = Bound { owner: &ada, installation: &here };
    let id = TaskId::new(Timestamp::UNIX_EPOCH);
    let filters = "name_prefix=x&tag_key=a&tag_value=b&state=QUEUED";
    let list = asked(&Query::read(Some(filters)).unwrap(), bound).unwrap().query;
    let token = token(&id, &list, bound);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));

    let again = |filters: &str, token: &str, bound: Bound<'_>| {
        let query = Query::read(Some(&format!("{filters}&page_token={token}"))).unwrap();
        asked(&query, bound).map(|asked| asked.query.after)
    };
    assert_eq!(again(filters, &token, bound).unwrap(), Some(id.clone()));
    // The size and the view of a page may change on the way.
    assert_eq!(again(&format!("{filters}&page_size=7&view=FULL"), &token, bound).unwrap(), Some(id));
    for other in [
        "",
        "name_prefix=x",
        "name_prefix=x&tag_key=a&state=QUEUED",
        "name_prefix=xa&tag_value=b&tag_key=&state=QUEUED",
        // One filter at a time.
        "name_prefix=y&tag_key=a&tag_value=b&state=QUEUED",
        "name_prefix=x&tag_key=b&tag_value=b&state=QUEUED",
        "name_prefix=x&tag_key=a&tag_value=c&state=QUEUED",
        "name_prefix=x&tag_key=a&tag_value=b&state=RUNNING",
    ] {
        assert_eq!(again(other, &token, bound).expect_err(other).blamed(), Some("page_token"));
    }
    assert!(again(filters, &token, Bound { owner: &bob, ..bound }).is_err());
    assert!(again(filters, &token, Bound { installation: &there, ..bound }).is_err());
    for bad in ["x", "AAAA", "%21", &token[1..], &format!("{token}A")] {
        assert!(again(filters, bad, bound).is_err(), "{bad}");
    }
}
