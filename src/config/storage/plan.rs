//! `[storage]` in the words of the plan, for everybody and for single callers.

use std::collections::BTreeMap;
use std::path::Path;

use tessera_runtime::storage::location::Scheme;
use tessera_runtime::storage::settings;

use super::file::{Mode, Root};
use super::lists::{self, Lists};
use super::prefix::{Prefix, contains};
use super::{Storage, fields};
use crate::config::auth::Auth;
use crate::config::problem::Problems;

/// Which places tasks may use, and how they are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// What holds for callers of whom nothing is said.
    pub everybody: settings::Storage,
    /// What holds for a caller, whole.
    pub callers: BTreeMap<String, settings::Storage>,
    /// URL prefixes that really work (TES contract 16.3).
    pub working: Vec<String>,
}

impl Storage {
    pub(in crate::config) fn check(&self, auth: &Auth, problems: &mut Problems) {
        lists::check(self, auth, problems);
        fields::check(&self.rules, problems);
        self.file.check(problems);
        self.cache.check(problems);
    }

    /// What a server with this data folder lets tasks use. Reads the files that rules name, so that a changed one
    /// counts from the next start on; the error is a sentence that names the key.
    pub fn places(&self, data: &Path) -> Result<Places, String> {
        let rules = self.read_rules()?;
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| format!("`{}` is not valid UTF-8", path.display()))
        };
        let roots = |of: fn(&Root) -> bool| -> Result<Vec<String>, String> {
            self.file.roots.iter().filter(|root| of(root)).map(|root| text(&root.path)).collect()
        };
        // A cache that tasks could write to would be everybody's.
        let mut file_forbidden = vec![text(data)?];
        let cache = self.cache.folder(data);
        if !cache.starts_with(data) {
            file_forbidden.push(text(&cache)?);
        }
        let whole = settings::Storage {
            file_roots: roots(|_| true)?,
            file_forbidden,
            rules,
            file_bind_rw: roots(|root| root.mode == Mode::BindRw)?,
            ownership: self.file.ownership()?,
            cache: self.cache.planned(data),
            ..settings::Storage::default()
        };
        let general = Lists::general(self);
        let mut callers = BTreeMap::new();
        for caller in &self.callers {
            callers.insert(caller.name.clone(), within(&whole, general.narrowed(caller)));
        }
        Ok(Places { working: self.working(&whole.rules), everybody: within(&whole, general), callers })
    }

    /// How storages are reached, whatever tasks may use: for people who may read the configuration.
    pub fn reached(&self) -> Result<settings::Storage, String> {
        Ok(settings::Storage { rules: self.read_rules()?, ..settings::Storage::default() })
    }

    fn read_rules(&self) -> Result<Vec<settings::Rule>, String> {
        let mut rules = Vec::new();
        for (index, written) in self.rules.iter().enumerate() {
            let (rule, wrong) = written.read();
            if let Some((key, reason)) = wrong.into_iter().next() {
                return Err(format!("storage.rules[{index}].{}: {reason}", written.as_written(key)));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    /// What this server can reach, as prefixes of URLs; folders of this host come first.
    fn working(&self, rules: &[settings::Rule]) -> Vec<String> {
        let roots = self.file.roots.iter().filter_map(|root| url::Url::from_file_path(&root.path).ok());
        let remote: Vec<String> = match self.allow.is_empty() {
            true => everywhere(rules),
            false => self.allow.iter().filter_map(|text| named(text, rules)).collect(),
        };
        let denied = &Lists::general(self).deny;
        let open = |text: &String| {
            let canonical = Prefix::read(text).map(|prefix| prefix.canonical);
            canonical.is_ok_and(|canonical| !denied.iter().any(|denied| contains(denied, &canonical)))
        };
        roots.map(String::from).chain(remote.into_iter().filter(open)).collect()
    }
}

/// The same with these lists, and without the rules that they make useless: nobody is to hold them.
fn within(whole: &settings::Storage, lists: Lists) -> settings::Storage {
    let rules = whole.rules.iter().filter(|rule| lists.leave_some_of(&rule.prefix)).cloned().collect();
    settings::Storage { rules, allow: lists.allow, deny: lists.deny, ..whole.clone() }
}

/// Whole schemes, and where a scheme works only below some prefixes, those.
fn everywhere(rules: &[settings::Rule]) -> Vec<String> {
    const WITHOUT_SETTINGS: [&str; 10] = [
        "http://",
        "https://",
        "s3://",
        "gs://",
        "azureblob://",
        "ftp://",
        "ftps://",
        "webdav://",
        "webdavs://",
        "drs://",
    ];
    let mut found: Vec<String> = WITHOUT_SETTINGS.map(str::to_owned).to_vec();
    found.extend(["az://", "azure://"].into_iter().filter_map(|text| named(text, rules)));
    let sftp = rules.iter().filter(|rule| rule.known_hosts.is_some());
    found.extend(sftp.map(|rule| as_start(&rule.prefix)));
    found
}

/// An entry of the allow list as the beginning of URLs, if they can be reached.
fn named(text: &str, rules: &[settings::Rule]) -> Option<String> {
    let prefix = Prefix::read(text).ok()?;
    let rule = tessera_runtime::storage::prefix::most_specific(rules, |rule| rule.prefix.as_str(), &prefix.canonical);
    let short = ["az://", "azure://"].iter().any(|short| text.to_ascii_lowercase().starts_with(short));
    let works = match prefix.scheme {
        Scheme::Sftp => rule.is_some_and(|rule| rule.known_hosts.is_some()),
        // These do not say whose container it is.
        Scheme::Azblob if short => rule.is_some_and(|rule| rule.account.is_some()) || ambient_account(),
        Scheme::Azblob
        | Scheme::Http
        | Scheme::Https
        | Scheme::S3
        | Scheme::Gs
        | Scheme::Ftp
        | Scheme::Ftps
        | Scheme::Webdav
        | Scheme::Webdavs
        | Scheme::Drs => true,
    };
    works.then(|| as_start(text))
}

/// Whether the surroundings say whose those containers are.
fn ambient_account() -> bool {
    let names = ["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"];
    names.iter().any(|name| std::env::var_os(name).is_some_and(|account| !account.is_empty()))
}

/// A prefix as the beginning of every URL below it: a caller compares texts, and `s3://b` begins `s3://b2` too.
fn as_start(prefix: &str) -> String {
    match prefix.strip_suffix('*') {
        Some(open) => open.to_owned(),
        None if prefix.ends_with('/') => prefix.to_owned(),
        None => format!("{prefix}/"),
    }
}
