//! The URLs of an account, a container, a blob.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::storage::location::{AZBLOB_PUBLIC, Remote, is_azblob};
use crate::storage::settings::Rule;
use crate::storage::trouble::Trouble;

/// What stays as it is in a query.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path, slashes do too.
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The account's name.
    pub(super) account: String,
    /// URL of the container, without a slash at its end.
    pub(super) url: String,
    /// The same for people.
    shown: String,
}

impl Address {
    /// `ambient` is the account that the surroundings name.
    pub(super) fn new(remote: &Remote, rule: &Rule, ambient: Option<String>) -> Result<Self, Trouble> {
        let shown = format!("{}://{}", remote.scheme.name(), remote.authority);
        let (account, container) = match remote.authority.rsplit_once('/') {
            Some((account, container)) => (account.to_owned(), container),
            None => (rule.account.clone().or(ambient).unwrap_or_default(), remote.authority.as_str()),
        };
        if account.is_empty() {
            return Err(Trouble::misconfigured(format!(
                "`{shown}` names no storage account: set `account` for it, or AZURE_STORAGE_ACCOUNT, or write \
                 `azureblob://account/container/name`"
            )));
        }
        let host = if account.contains('.') { account.clone() } else { format!("{account}.{AZBLOB_PUBLIC}") };
        if !is_azblob(&host) || !is_container(container) {
            return Err(Trouble::rejected(format!("`{shown}` is no account and container of Azure Blob")));
        }
        let account = host.split('.').next().unwrap_or_default().to_owned();
        let base = match &rule.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://{host}"),
        };
        Ok(Self { url: format!("{base}/{container}"), account, shown })
    }

    /// URL of a blob.
    pub(super) fn blob(&self, key: &str) -> Result<String, Trouble> {
        self.refuse_changed(key)?;
        if key.is_empty() {
            return Err(Trouble::absent(format!("`{}` names a container, not a file in it", self.shown)));
        }
        Ok(format!("{}/{}", self.url, percent_encode(key.as_bytes(), IN_PATH)))
    }

    /// URL of a page of the blobs whose names begin with this.
    pub(super) fn page(&self, prefix: &str, marker: Option<&str>) -> Result<String, Trouble> {
        self.refuse_changed(prefix)?;
        let marker = marker.map(|marker| format!("&marker={}", in_query(marker))).unwrap_or_default();
        let prefix = in_query(prefix);
        // Metadata says which blobs stand for directories.
        Ok(format!("{}?restype=container&comp=list&include=metadata&prefix={prefix}{marker}", self.url))
    }

    /// How a blob is named in messages.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.shown)
    }

    /// Names that would become other names.
    fn refuse_changed(&self, key: &str) -> Result<(), Trouble> {
        let changed = if key.split('/').any(|name| name == "." || name == "..") {
            "`.` or `..`, which Azure Blob takes out of names"
        } else if key.contains('\\') {
            "a backslash, which Azure Blob makes a slash of"
        } else {
            return Ok(());
        };
        Err(Trouble::rejected(format!("`{}` holds {changed}", self.shown(key))))
    }
}

/// A text as a query's value.
pub(super) fn in_query(text: &str) -> String {
    percent_encode(text.as_bytes(), IN_QUERY).to_string()
}

fn is_container(name: &str) -> bool {
    let ordinary = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    ordinary || ["$root", "$web", "$logs"].contains(&name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::FaultClass;
    use crate::storage::location::Location;

    fn remote(url: &str) -> Remote {
        match Location::parse(url).unwrap() {
            Location::Remote(remote) => remote,
            Location::Host(path) => panic!("{path:?}"),
        }
    }

    fn address(url: &str, rule: &Rule) -> Result<Address, Trouble> {
        Address::new(&remote(url), rule, None)
    }

    #[test]
    fn accounts_and_containers() {
        let none = Rule::default();
        let named = Rule { account: Some("ours".to_owned()), ..Rule::default() };
        let local = Rule { endpoint: Some("http://127.0.0.1:10000/tes/".to_owned()), ..named.clone() };
        for (url, rule, account, expected) in [
            ("azureblob://acc/data/x", &none, "acc", "https://acc.blob.core.windows.net/data"),
            ("azureblob://acc/data/x", &named, "acc", "https://acc.blob.core.windows.net/data"),
            ("az://data/x", &named, "ours", "https://ours.blob.core.windows.net/data"),
            ("azure://data/x", &local, "ours", "http://127.0.0.1:10000/tes/data"),
            ("https://acc.blob.core.windows.net/$web/x", &none, "acc", "https://acc.blob.core.windows.net/$web"),
            (
                "https://acc.blob.core.chinacloudapi.cn/data/x",
                &none,
                "acc",
                "https://acc.blob.core.chinacloudapi.cn/data",
            ),
        ] {
            let address = address(url, rule).unwrap();
            assert_eq!((address.account.as_str(), address.url.as_str()), (account, expected), "{url}");
        }
        let ambient = Address::new(&remote("az://data/x"), &none, Some("around".to_owned())).unwrap();
        assert_eq!(ambient.account, "around");
    }

    #[test]
    fn what_is_no_account_is_refused() {
        let none = Rule::default();
        for (url, class, words) in [
            ("az://data/x", FaultClass::Misconfigured, "AZURE_STORAGE_ACCOUNT"),
            ("azureblob://evil.org/data/x", FaultClass::Rejected, "no account"),
            ("azureblob://acc/da%2Fta/x", FaultClass::Rejected, "no account"),
            ("azureblob://a:b/data/x", FaultClass::Rejected, "no account"),
            ("azureblob://acc/../x", FaultClass::Rejected, "no account"),
        ] {
            let trouble = address(url, &none).unwrap_err();
            assert_eq!(trouble.class, class, "{url}");
            assert!(trouble.message.contains(words), "{}", trouble.message);
        }
    }

    #[test]
    fn names_go_as_they_are() {
        let address = address("azureblob://acc/data/x", &Rule::default()).unwrap();
        for (key, path) in
            [("a b%20+#?", "a%20b%2520%2B%23%3F"), ("/leading//two", "/leading//two"), ("ü", "%C3%BC"), ("...", "...")]
        {
            let url = address.blob(key).unwrap();
            assert_eq!(url, format!("https://acc.blob.core.windows.net/data/{path}"));
            // No client on the way changes it.
            assert_eq!(reqwest::Url::parse(&url).unwrap().as_str(), url);
        }
        for key in ["..", "a/../b", "./a", "a/.", "a\\b"] {
            assert!(address.blob(key).unwrap_err().message.contains("Azure Blob"), "{key}");
            assert!(address.page(key, None).is_err(), "{key}");
        }
        assert!(address.blob("").is_err());
    }
}
