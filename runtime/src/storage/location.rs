//! What a URL means (TES contract 9.2, 9.3).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use reqwest::Url;

use super::checksum::Checksum;
use super::secret::Secret;
use super::trouble::Trouble;

/// Where an input comes from or an output goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A path of this host.
    Host(HostPath),
    /// Anything else.
    Remote(Remote),
}

/// A path of the host, in the two ways that a `file://` URL can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath {
    /// As it was written.
    raw: PathBuf,
    /// With percent signs decoded; `None` where that is the same.
    decoded: Option<PathBuf>,
}

/// A place in some storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remote {
    /// The protocol.
    pub scheme: Scheme,
    /// The bucket (`s3`, `gs`), the container (`az`, `azure`), account and container (`azureblob`, `https` addresses of
    /// Azure Blob: `account/container`), or the host with its port. An account of another cloud than Azure's public one
    /// is its whole host: it is not the account of the same name.
    pub authority: String,
    /// The name in the storage. For `http` and `https` the path as it was written, percent signs and leading slash
    /// included; elsewhere raw, and for hosts without the slash that follows the host's name.
    pub key: String,
    /// What follows `?`, where that is no part of the name.
    pub query: Option<Secret>,
    /// User and password, where the URL names them.
    pub login: Option<Login>,
    /// What the content is expected to be: the fragments `#md5=` and `#sha256=`.
    pub expected: Vec<Checksum>,
}

/// Who the URL says is asking.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; empty when there is none.
    pub password: Secret,
}

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http://`
    Http,
    /// `https://`
    Https,
    /// `s3://bucket/key`
    S3,
    /// `gs://bucket/key`
    Gs,
    /// `az://container/path`, `azure://container/path` with the account from the settings;
    /// `azureblob://account/container/path`; `https://ACCOUNT.blob.…/container/path`.
    Azblob,
    /// `ftp://host/path`
    Ftp,
    /// `ftps://host/path`
    Ftps,
    /// `sftp://host/path`
    Sftp,
    /// `webdav://host/path`: WebDAV over HTTP.
    Webdav,
    /// `webdavs://host/path`: WebDAV over HTTPS.
    Webdavs,
    /// `drs://host/id`: resolved to one of the others.
    Drs,
}

/// Where the accounts of Azure's public cloud are.
pub(super) const AZBLOB_PUBLIC: &str = "blob.core.windows.net";
const AZBLOB_ZONED: &str = "blob.storage.azure.net";
const AZBLOB_HOSTS: [&str; 5] =
    [AZBLOB_PUBLIC, "blob.core.chinacloudapi.cn", "blob.core.usgovcloudapi.net", "blob.core.cloudapi.de", AZBLOB_ZONED];

/// What is encoded in a path that becomes part of a URL.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

impl Location {
    /// Reads a URL or a bare absolute path.
    pub fn parse(url: &str) -> Result<Self, Trouble> {
        if url.starts_with('/') {
            return Ok(Self::Host(HostPath { raw: PathBuf::from(url), decoded: None }));
        }
        let Some((scheme, rest)) = url.split_once(':') else {
            let message = format!("`{}` is neither a URL nor an absolute path", redacted(url));
            return Err(Trouble::rejected(message));
        };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            return Ok(Self::Host(host_path(url)?));
        }
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(unreachable(url, &scheme));
        };
        let (rest, expected) = fragment(rest);
        match scheme.as_str() {
            "http" => web(url, rest, Scheme::Http, expected),
            "https" => web(url, rest, Scheme::Https, expected),
            "s3" => object(url, rest, Scheme::S3, 1, expected),
            "gs" => object(url, rest, Scheme::Gs, 1, expected),
            "az" | "azure" => object(url, rest, Scheme::Azblob, 1, expected),
            "azureblob" => object(url, rest, Scheme::Azblob, 2, expected),
            "ftp" => host(url, rest, Scheme::Ftp, expected),
            "ftps" => host(url, rest, Scheme::Ftps, expected),
            "sftp" => host(url, rest, Scheme::Sftp, expected),
            "webdav" => host(url, rest, Scheme::Webdav, expected),
            "webdavs" => host(url, rest, Scheme::Webdavs, expected),
            "drs" => host(url, rest, Scheme::Drs, expected),
            _ => Err(unreachable(url, &scheme)),
        }
        .map(Self::Remote)
    }
}

fn unreachable(url: &str, scheme: &str) -> Trouble {
    Trouble::rejected(format!("`{}` cannot be reached: there is no storage for `{scheme}:`", redacted(url)))
}

/// Splits off a fragment that says what the content is. Any other `#` may be part of a name.
fn fragment(rest: &str) -> (&str, Vec<Checksum>) {
    let Some((before, fragment)) = rest.rsplit_once('#') else {
        return (rest, Vec::new());
    };
    let parts = fragment.split('&').map(Checksum::from_fragment);
    match parts.collect::<Option<Vec<_>>>() {
        Some(expected) => (before, expected),
        None => (rest, Vec::new()),
    }
}

/// A name in an object store, raw as everyone writes it; `names` components stand before it.
fn object(url: &str, rest: &str, scheme: Scheme, names: usize, expected: Vec<Checksum>) -> Result<Remote, Trouble> {
    let mut at = 0;
    for _ in 0..names {
        at = rest[at..].find('/').map_or(rest.len(), |next| at + next + 1);
    }
    let (authority, key) = rest.split_at(at);
    let authority = authority.trim_end_matches('/');
    let is_name = |name: &&str| !name.is_empty() && !name.contains(['?', '#', '@', '\\']);
    if authority.split('/').filter(is_name).count() < names {
        return Err(Trouble::rejected(format!("`{}` names no bucket or container", redacted(url))));
    }
    Ok(Remote { scheme, authority: authority.to_owned(), key: key.to_owned(), query: None, login: None, expected })
}

/// A path on a host, percent-encoded.
fn host(url: &str, rest: &str, scheme: Scheme, expected: Vec<Checksum>) -> Result<Remote, Trouble> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(read_login(login)), host),
        None => (None, authority),
    };
    if host.is_empty() || host.starts_with(':') {
        return Err(Trouble::rejected(format!("`{}` names no host", redacted(url))));
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let key = percent_decode_str(path).decode_utf8();
    let key = key.map_err(|_| Trouble::rejected(format!("the path of `{}` is not UTF-8", redacted(url))))?;
    if key.contains(['\0', '\r', '\n']) {
        return Err(Trouble::rejected(format!("`{}` holds a control character", redacted(url))));
    }
    if key.split('/').any(|name| name == "..") {
        return Err(Trouble::rejected(format!("`{}` holds `..`; write the path without it", redacted(url))));
    }
    let authority = authority_of(host, scheme)
        .ok_or_else(|| Trouble::rejected(format!("`{}` names no host that can be understood", redacted(url))))?;
    Ok(Remote { scheme, authority, key: key.into_owned(), query: None, login, expected })
}

/// A host with its port in the one form that settings, lists and connections know it by, whatever it is written like.
fn authority_of(host: &str, scheme: Scheme) -> Option<String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        Some(_) | None => (host, ""),
    };
    // What another reader may take for the end of the host, or pass over.
    let odd = |c: char| matches!(c, '\\' | '?' | '#' | '@') || c.is_whitespace() || c.is_control();
    if name.contains(odd) || name.contains(':') && !name.starts_with('[') {
        return None;
    }
    // A compact identifier: it is understood, and refused with better words, later.
    let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let compact = scheme == Scheme::Drs && !port.is_empty() && port.chars().all(simple) && name.chars().all(simple);
    let Ok(parsed) = Url::parse(&format!("http://{name}/")) else {
        return compact.then(|| format!("{name}:{port}"));
    };
    let name = parsed.host_str().map(|name| name.trim_end_matches('.')).filter(|name| !name.is_empty())?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        "" => Some(name.to_owned()),
        _ if !digits && compact => Some(format!("{name}:{port}")),
        _ if !digits => None,
        _ => {
            let port = port.parse::<u16>().ok()?.to_string();
            Some(if port == scheme.default_port() { name.to_owned() } else { format!("{name}:{port}") })
        }
    }
}

fn read_login(text: &str) -> Login {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Login { user: decoded(user), password: Secret::new(decoded(password)) }
}

fn web(url: &str, rest: &str, scheme: Scheme, expected: Vec<Checksum>) -> Result<Remote, Trouble> {
    let name = if scheme == Scheme::Https { "https" } else { "http" };
    let parsed = Url::parse(&format!("{name}://{rest}"))
        .map_err(|error| Trouble::rejected(format!("`{}` is not a URL: {error}", redacted(url))))?;
    let Some(host) = parsed.host_str().filter(|host| !host.is_empty()) else {
        return Err(Trouble::rejected(format!("`{}` names no host", redacted(url))));
    };
    let host = host.trim_end_matches('.');
    if host.is_empty() {
        return Err(Trouble::rejected(format!("`{}` names no host", redacted(url))));
    }
    let decoded = percent_decode_str(parsed.path()).decode_utf8_lossy();
    // Servers that decode a slash see more names than we do.
    if decoded.split(['/', '\\']).any(|name| name == "..") {
        return Err(Trouble::rejected(format!("`{}` holds `..`; write the path without it", redacted(url))));
    }
    let query = parsed.query().map(Secret::new);
    let authority = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if is_azblob(host) {
        let path = percent_decode_str(parsed.path().trim_start_matches('/')).decode_utf8_lossy().into_owned();
        let account = host.strip_suffix(AZBLOB_PUBLIC).and_then(|name| name.strip_suffix('.')).unwrap_or(host);
        let (container, key) = path.split_once('/').unwrap_or((&path, ""));
        if !container.is_empty() {
            let authority = format!("{account}/{container}");
            let key = key.to_owned();
            return Ok(Remote { scheme: Scheme::Azblob, authority, key, query, login: None, expected });
        }
    }
    let login = (!parsed.username().is_empty() || parsed.password().is_some()).then(|| {
        let password = parsed.password().unwrap_or_default();
        read_login(&format!("{}:{password}", parsed.username()))
    });
    Ok(Remote { scheme, authority, key: parsed.path().to_owned(), query, login, expected })
}

/// Whether a host is an account of Azure Blob, in any of its clouds.
pub(super) fn is_azblob(host: &str) -> bool {
    // An account with a zone in its host: `account.z01.blob.storage.azure.net`.
    let zoned = |name: &str| name.split_once('.').is_some_and(|(name, zone)| is_label(name) && is_label(zone));
    AZBLOB_HOSTS.iter().any(|home| {
        let name = host.strip_suffix(home).and_then(|name| name.strip_suffix('.'));
        name.is_some_and(|name| is_label(name) || *home == AZBLOB_ZONED && zoned(name))
    })
}

fn is_label(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Scheme {
    /// The port that is meant where none is written; empty where there are none.
    pub(super) fn default_port(self) -> &'static str {
        match self {
            Self::Http | Self::Webdav => "80",
            Self::Https | Self::Webdavs | Self::Drs => "443",
            Self::Ftp | Self::Ftps => "21",
            Self::Sftp => "22",
            Self::S3 | Self::Gs | Self::Azblob => "",
        }
    }

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Azblob => "azureblob",
            Self::Ftp => "ftp",
            Self::Ftps => "ftps",
            Self::Sftp => "sftp",
            Self::Webdav => "webdav",
            Self::Webdavs => "webdavs",
            Self::Drs => "drs",
        }
    }
}

impl Remote {
    /// What settings and lists are looked up by: no login, no query, percent signs decoded, a host's name in lower
    /// case, no default port. On hosts, where several slashes mean what one means, one slash. Containers of Azure
    /// without an account have a form of their own, `az://`.
    pub fn canonical(&self) -> String {
        let (name, key) = match self.scheme {
            Scheme::Http | Scheme::Https => {
                (self.scheme.name(), one_slash(&percent_decode_str(&self.key).decode_utf8_lossy()))
            }
            Scheme::Ftp | Scheme::Ftps | Scheme::Sftp | Scheme::Webdav | Scheme::Webdavs | Scheme::Drs => {
                (self.scheme.name(), one_slash(&self.key))
            }
            Scheme::Azblob if !self.authority.contains('/') => ("az", self.key.clone()),
            Scheme::S3 | Scheme::Gs | Scheme::Azblob => (self.scheme.name(), self.key.clone()),
        };
        format!("{name}://{}/{key}", self.authority)
    }

    /// The forms that a list may not be evaded by: WebDAV is HTTP under another name, and HTTP reads what WebDAV holds.
    pub(super) fn aliases(&self) -> Vec<String> {
        let canonical = self.canonical();
        let under = |name: &str| canonical.split_once(':').map(|(_, rest)| format!("{name}:{rest}"));
        let other = match self.scheme {
            Scheme::Webdav => under("http"),
            Scheme::Webdavs => under("https"),
            Scheme::Http => under("webdav"),
            Scheme::Https => under("webdavs"),
            Scheme::S3 | Scheme::Gs | Scheme::Azblob | Scheme::Ftp | Scheme::Ftps | Scheme::Sftp | Scheme::Drs => None,
        };
        std::iter::once(canonical).chain(other).collect()
    }

    fn is_web(&self) -> bool {
        matches!(self.scheme, Scheme::Http | Scheme::Https)
    }

    /// The same storage, another name: something below this directory, whose key may end in `/` or not.
    pub fn below(&self, name: &str) -> Self {
        let name = match self.is_web() {
            true => percent_encode(name.as_bytes(), IN_PATH).to_string(),
            false => name.to_owned(),
        };
        let directory = self.key.trim_end_matches('/');
        let key = match directory.is_empty() && !self.is_web() {
            true => name,
            false => format!("{directory}/{name}"),
        };
        Self { key, expected: Vec::new(), ..self.clone() }
    }
}

/// A path without slashes at its beginning and without empty names.
fn one_slash(path: &str) -> String {
    let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    if path.ends_with('/') && !names.is_empty() {
        names.push("");
    }
    names.join("/")
}

fn host_path(url: &str) -> Result<HostPath, Trouble> {
    let rest = &url["file:".len()..];
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') {
        let message = format!("`{}` names another host", redacted(url));
        return Err(Trouble::rejected(message));
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    let decoded = (bytes != path.as_bytes()).then(|| PathBuf::from(OsStr::from_bytes(&bytes)));
    if bytes.contains(&0) {
        let message = format!("`{}` holds a NUL", redacted(url));
        return Err(Trouble::rejected(message));
    }
    Ok(HostPath { raw: PathBuf::from(path), decoded })
}

impl HostPath {
    /// The path to read: as written if that exists, otherwise decoded (TES contract 9.3).
    pub fn to_read(&self) -> &Path {
        match &self.decoded {
            Some(decoded) if self.raw.symlink_metadata().is_err() => decoded,
            Some(_) | None => &self.raw,
        }
    }

    /// The path to write to: decoded, unless what is written, or the directory around it, exists as it is written
    /// and not decoded.
    pub fn to_write(&self) -> &Path {
        let Some(decoded) = &self.decoded else {
            return &self.raw;
        };
        let around = |path: &Path| path.parent().is_some_and(Path::exists);
        let raw = self.raw.symlink_metadata().is_ok() || around(&self.raw) && !around(decoded);
        if raw { &self.raw } else { decoded }
    }
}

/// A URL that may be shown: without user, password, query and fragment.
pub fn redacted(url: &str) -> String {
    let shown = match url.find(['?', '#']) {
        // In a bare path these are ordinary characters.
        Some(at) if !url.starts_with('/') => &url[..at],
        Some(_) | None => url,
    };
    let Some((scheme, rest)) = shown.split_once("://") else {
        return shown.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The URL of something below a directory's URL, which may end in `/` or not; queries stay where they are.
pub fn join(url: &str, below: &Path) -> String {
    let below = below.as_os_str().as_bytes();
    // Names in object stores are written raw.
    let raw = ["s3://", "gs://", "az://", "azure://", "azureblob://"];
    if url.starts_with('/') || raw.iter().any(|scheme| has_prefix(url, scheme)) {
        let below = String::from_utf8_lossy(below);
        return format!("{}/{below}", url.trim_end_matches('/'));
    }
    let below = percent_encode(below, IN_PATH);
    let (directory, query) = match url.find('?') {
        Some(at) if !url.starts_with("file:") => url.split_at(at),
        Some(_) | None => (url, ""),
    };
    format!("{}/{below}{query}", directory.trim_end_matches('/'))
}

fn has_prefix(url: &str, prefix: &str) -> bool {
    url.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests;
