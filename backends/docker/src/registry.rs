//! Logins for private registries: from the configuration, otherwise from Docker's own file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tessera_runtime::node::settings::RegistryLogin;

use crate::config::DockerConfig;

/// What Docker Hub is called in image names, and in Docker's own file.
const HUB: &str = "docker.io";
const HUB_IN_FILE: &str = "https://index.docker.io/v1/";

/// The registry's host that an image name means.
pub(crate) fn host_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => HUB,
    }
}

/// Docker's own file, as far as it is read here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DockerFile {
    auths: BTreeMap<String, FileLogin>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FileLogin {
    auth: String,
    identitytoken: Option<String>,
}

impl std::fmt::Debug for FileLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl DockerFile {
    /// Reads the file; one that is not there holds nothing.
    pub(crate) fn read(config: &DockerConfig) -> Result<Self, String> {
        let Some(path) = path(config) else {
            return Ok(Self::default());
        };
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|e| format!("the logins in {} cannot be read: {e}", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(format!("the logins in {} cannot be read: {e}", path.display())),
        }
    }

    /// Whether it leaves logins to a program that is not asked here.
    pub(crate) fn has_helpers(&self) -> bool {
        self.store.is_some() || !self.helpers.is_empty()
    }

    fn login(&self, host: &str) -> Option<RegistryLogin> {
        let keys = if host == HUB {
            vec![HUB_IN_FILE.to_owned(), HUB.to_owned()]
        } else {
            vec![host.to_owned(), format!("https://{host}"), format!("http://{host}")]
        };
        let (key, found) = keys.iter().find_map(|key| self.auths.get_key_value(key))?;
        let decoded = STANDARD.decode(&found.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (username, password) = decoded.as_deref().and_then(|text| text.split_once(':'))?;
        Some(RegistryLogin {
            server: key.clone(),
            username: Some(username.to_owned()),
            password: Some(password.to_owned()).filter(|_| found.identitytoken.is_none()),
            identity_token: found.identitytoken.clone(),
        })
    }
}

/// The logins that pulling these images needs, and no others.
pub(crate) fn logins<'a>(
    config: &DockerConfig,
    file: &DockerFile,
    images: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, RegistryLogin> {
    let login = |image: &str| {
        let host = host_of(image);
        let configured = config.registries.iter().find(|registry| registry.server == host);
        match configured {
            Some(registry) => Some(RegistryLogin {
                server: if host == HUB { HUB_IN_FILE.to_owned() } else { host.to_owned() },
                username: Some(registry.username.clone()),
                password: Some(registry.password.reveal().to_owned()),
                identity_token: None,
            }),
            None => file.login(host),
        }
    };
    images.filter_map(|image| Some((image.to_owned(), login(image)?))).collect()
}

fn path(config: &DockerConfig) -> Option<PathBuf> {
    let folder = |variable: &str, below: &str| {
        std::env::var_os(variable).filter(|value| !value.is_empty()).map(|value| Path::new(&value).join(below))
    };
    config
        .docker_config
        .clone()
        .or_else(|| folder("DOCKER_CONFIG", "config.json"))
        .or_else(|| folder("HOME", ".docker/config.json"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_image_name_says_its_registry() {
        for (image, host) in [
            ("busybox", "docker.io"),
            ("library/busybox:1", "docker.io"),
            ("quay.io/a/b@sha256:0", "quay.io"),
            ("localhost/a", "localhost"),
            ("127.0.0.1:5000/a:1", "127.0.0.1:5000"),
        ] {
            assert_eq!(host_of(image), host, "{image}");
        }
    }

    #[test]
    fn only_the_logins_of_the_plan_are_handed_on_and_the_configuration_comes_first() {
        let config: DockerConfig =
            serde_json::from_str(r#"{"registries": [{"server": "r.example", "username": "ours", "password": "p"}]}"#)
                .unwrap();
        let auth = STANDARD.encode("theirs:q");
        let file: DockerFile = serde_json::from_value(serde_json::json!({"auths": {
            "r.example": {"auth": auth},
            "https://index.docker.io/v1/": {"auth": auth},
            "other.example": {"auth": auth},
        }}))
        .unwrap();
        let logins = logins(&config, &file, ["r.example/a:1", "busybox", "open.example/x"].into_iter());
        assert_eq!(logins.keys().collect::<Vec<_>>(), ["busybox", "r.example/a:1"]);
        assert_eq!(logins["r.example/a:1"].username.as_deref(), Some("ours"));
        assert_eq!(logins["busybox"].username.as_deref(), Some("theirs"));
        assert_eq!(logins["busybox"].server, "https://index.docker.io/v1/");
    }
}
