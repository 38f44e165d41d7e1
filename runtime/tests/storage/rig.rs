//! Where the servers of `tests/engines/storage` are, and what opens them.
//!
//! Every suite takes names of its own below the buckets and folders (a prefix a test), and so nobody meets anybody.
//! The folders are the servers' own: a test may put files there or change them behind a server's back.

// Each suite uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

/// All of them.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Rig {
    /// The private authority, in PEM, behind whatever speaks TLS here. No system trusts it.
    pub(crate) ca: PathBuf,
    pub(crate) s3: S3,
    pub(crate) azure: Azure,
    pub(crate) gcs: Gcs,
    /// In clear. Anonymous callers may read.
    pub(crate) ftp: Ftp,
    /// With explicit TLS (`AUTH TLS`); logins and data in clear are refused.
    pub(crate) ftps: Ftp,
    pub(crate) sftp: Sftp,
    pub(crate) webdav: WebDav,
    /// The same files through TLS.
    pub(crate) webdavs: WebDav,
    pub(crate) web: Web,
    pub(crate) drs: Drs,
}

/// A versitygw: path style, signatures and checksums are checked. A key cannot also be the folder of other keys.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    /// The same buckets; whatever writes is denied (403).
    pub(crate) read_only_endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) bucket: String,
    /// Readable and listable without a signature.
    pub(crate) public_bucket: String,
    /// Holds a folder a bucket; an object is a file with the key for its path.
    pub(crate) folder: PathBuf,
}

/// An Azurite with one account; shared keys and SAS are checked. It keeps everything in memory.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Azure {
    /// With the account as the first part of its path.
    pub(crate) endpoint: String,
    pub(crate) account: String,
    /// In base64, as Azure shows it.
    pub(crate) key: String,
    pub(crate) container: String,
}

/// A fake-gcs-server: never asks who calls, knows resumable uploads and not the XML API's multipart uploads.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Gcs {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
}

/// A pyftpdlib.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ftp {
    /// `HOST:PORT`.
    pub(crate) address: String,
    pub(crate) user: String,
    /// Holds characters that a URL has to encode.
    pub(crate) password: String,
    /// What a caller sees as `/`.
    pub(crate) folder: PathBuf,
}

/// An OpenSSH that opens to a key only.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sftp {
    /// `HOST:PORT`.
    pub(crate) address: String,
    pub(crate) user: String,
    /// A file in OpenSSH's form, without a passphrase.
    pub(crate) private_key: PathBuf,
    /// A file in OpenSSH's form with the server's key (Ed25519).
    pub(crate) known_hosts: PathBuf,
    /// A folder for the tests. Callers see the whole machine: paths are absolute.
    pub(crate) folder: PathBuf,
}

/// A WsgiDAV with basic authentication.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WebDav {
    /// Ends in `/`.
    pub(crate) url: String,
    pub(crate) user: String,
    /// Holds characters that a URL has to encode.
    pub(crate) password: String,
    /// What a caller sees as `/`.
    pub(crate) folder: PathBuf,
}

/// An nginx over a folder; `tests/engines/storage.d/nginx.conf` is its whole truth. Every URL ends in `/`.
///
/// | below | is |
/// |---|---|
/// | `private/` | only for those with the password |
/// | `upload/`, `upload-private/` | where PUT and DELETE are allowed, without and with the password |
/// | `slow/FILE`, `no-ranges/FILE` | any file at 64 KiB a second; any file, and ranges are ignored |
/// | `busy` | always 503, with `Retry-After: 1` |
/// | `loop` | a redirect to itself |
/// | `moved-here/FILE`, `moved/FILE` | a redirect on this host, and to the same file on another one |
/// | `moved-to-http/FILE` | the same, to another host and out of TLS |
/// | `moved-to-metadata` | a redirect to where clouds keep credentials |
/// | `told` | answers the `Authorization` header it was sent, as a line |
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Web {
    pub(crate) http: String,
    pub(crate) https: String,
    /// The same server under the other address that `moved/` leads to.
    pub(crate) other_http: String,
    pub(crate) other_https: String,
    pub(crate) user: String,
    /// Holds characters that a URL has to encode.
    pub(crate) password: String,
    /// What a caller sees as `/`.
    pub(crate) folder: PathBuf,
}

/// GA4GH DRS 1.x below `/ga4gh/drs/v1`, by the same nginx: an object is a document that a test writes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Drs {
    /// `HOST:PORT` without TLS.
    pub(crate) http: String,
    /// `HOST:PORT` with TLS, as DRS wants it.
    pub(crate) https: String,
    /// Holds `ID.json` for an object, and `ID/access/ACCESS_ID.json` for an access URL.
    pub(crate) folder: PathBuf,
}

impl Rig {
    /// The rig, when there is one. Without one a line says so, unless it is required.
    pub(crate) fn find() -> Option<Self> {
        match std::env::var_os("TESSERA_STORAGE_RIG") {
            Some(file) => {
                let file = PathBuf::from(file);
                let text = fs::read(&file).unwrap_or_else(|error| panic!("the rig `{}`: {error}", file.display()));
                Some(serde_json::from_slice(&text).unwrap_or_else(|error| panic!("`{}`: {error}", file.display())))
            }
            None if std::env::var_os("TESSERA_REQUIRE_STORAGES").is_some() => {
                panic!("TESSERA_REQUIRE_STORAGES is set and TESSERA_STORAGE_RIG is not: start tests/engines/storage");
            }
            None => {
                eprintln!("skipped: TESSERA_STORAGE_RIG is not set; `cargo xtask test storage` starts the storages");
                None
            }
        }
    }
}

impl Drs {
    /// Publishes the document of an object.
    pub(crate) fn publish(&self, id: &str, object: &serde_json::Value) {
        write_json(self.folder.join(format!("{id}.json")), object);
    }

    /// Publishes what an access method's id leads to.
    pub(crate) fn publish_access(&self, id: &str, access: &str, url: &serde_json::Value) {
        write_json(self.folder.join(id).join("access").join(format!("{access}.json")), url);
    }
}

fn write_json(file: PathBuf, value: &serde_json::Value) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, value.to_string()).unwrap();
}
