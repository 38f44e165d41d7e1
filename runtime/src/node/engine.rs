//! The container engine, as far as an attempt needs it: a dozen typed calls, and their errors sorted by what to
//! do next. Docker and Podman's compatible socket are the same thing here.
//!
//! Calls that change something run as tasks of their own. An attempt that is stopped drops what it was waiting
//! for, but a request that has been sent goes on in the engine; [`Engine::settled`] waits for those.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerState, ContainerSummary};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, InspectContainerOptions, KillContainerOptions, ListContainersOptions,
    LogsOptions, RemoveContainerOptions, StartContainerOptions, WaitContainerOptions,
};
use bollard::{ClientVersion, Docker};
use futures::StreamExt;
use tokio::sync::{OnceCell, watch};

use super::layers::Layers;
use super::settings::{EngineSettings, RegistryLogin};

/// Seconds until an answer has to begin.
const ANSWER_WITHIN_S: u64 = 120;
/// Seconds after which a wait is asked for anew.
const WAIT_AGAIN_S: u64 = 24 * 60 * 60;

/// What the engine answered, sorted by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is no such container or image.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken, or the thing is in a state that does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The engine understood, and will answer the same again.
    #[error("{0}")]
    Refused(String),
    /// The engine tried, and failed.
    #[error("{0}")]
    Failed(String),
    /// There is no engine, or it does not talk to us.
    #[error("{0}")]
    Unreachable(String),
}

impl EngineError {
    /// The value that says that there is no such thing, if that is the error.
    fn unless_missing<T>(self, missing: T) -> Result<T, Self> {
        if matches!(self, Self::NotFound(_)) { Ok(missing) } else { Err(self) }
    }
}

/// How a container ended, as the engine saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ran and ended.
    Exited,
    /// There is no such container.
    Gone,
}

/// One engine. Cheap to clone; connected when it is first asked for something.
#[derive(Debug, Clone)]
pub struct Engine {
    settings: EngineSettings,
    connected: Arc<OnceCell<Docker>>,
    under_way: watch::Sender<usize>,
}

impl Engine {
    /// The engine at that address.
    pub fn at(settings: EngineSettings) -> Self {
        Self { settings, connected: Arc::default(), under_way: watch::Sender::new(0) }
    }

    /// The first call asks for the engine's version, unless one is given.
    async fn docker(&self) -> Result<&Docker, EngineError> {
        self.connected.get_or_try_init(|| connect(&self.settings)).await
    }

    /// The API version in use, as a node may be told it.
    pub async fn api(&self) -> Result<String, EngineError> {
        Ok(self.docker().await?.client_version().to_string())
    }

    /// Proves that the engine answers.
    pub async fn ping(&self) -> Result<(), EngineError> {
        self.docker().await?.ping().await.map(drop).map_err(sorted)
    }

    /// What the engine says about itself and its host.
    pub async fn info(&self) -> Result<bollard::models::SystemInfo, EngineError> {
        self.docker().await?.info().await.map_err(sorted)
    }

    /// Returns when no call that changes something is under way.
    pub async fn settled(&self) {
        // The sender is ours, so the channel cannot close.
        let _ = self.under_way.subscribe().wait_for(|calls| *calls == 0).await;
    }

    /// Creates a container; answers its id.
    pub async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, EngineError> {
        let (docker, name) = (self.docker().await?.clone(), name.to_owned());
        self.to_its_end(async move {
            let options = CreateContainerOptions { name: Some(name), ..CreateContainerOptions::default() };
            docker.create_container(Some(options), body).await.map(|made| made.id)
        })
        .await
    }

    /// Starts a container; one that runs is left as it is.
    pub async fn start(&self, name: &str) -> Result<(), EngineError> {
        let (docker, name) = (self.docker().await?.clone(), name.to_owned());
        self.to_its_end(async move { docker.start_container(&name, None::<StartContainerOptions>).await }).await
    }

    /// Returns when a container that was started does not run any more.
    pub async fn ended(&self, name: &str) -> Result<Ending, EngineError> {
        let patient = self.docker().await?.clone().with_timeout(Duration::from_secs(WAIT_AGAIN_S));
        let mut answers = patient.wait_container(name, None::<WaitContainerOptions>);
        match answers.next().await {
            // A non-zero exit is a result, not a failure.
            Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(Ending::Exited),
            Some(Err(error)) => sorted(error).unless_missing(Ending::Gone),
            None => Err(EngineError::Unreachable("the engine hung up while a container ran".into())),
        }
    }

    /// What the engine knows of a container; `None` when there is none.
    pub async fn inspect(&self, name: &str) -> Result<Option<Inspected>, EngineError> {
        let docker = self.docker().await?;
        match settling(|| docker.inspect_container(name, None::<InspectContainerOptions>)).await {
            Ok(found) => Ok(Some(Inspected {
                id: found.id.unwrap_or_default(),
                image: found.image.unwrap_or_default(),
                labels: found.config.and_then(|config| config.labels).unwrap_or_default(),
                state: found.state.unwrap_or_default(),
            })),
            Err(error) => sorted(error).unless_missing(None),
        }
    }

    /// Sends a signal; a container that does not run or is gone has got what it needs.
    pub async fn kill(&self, name: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        match self.docker().await?.kill_container(name, Some(options)).await.map_err(sorted) {
            Ok(()) | Err(EngineError::NotFound(_) | EngineError::Conflict(_)) => Ok(()),
            Err(EngineError::Failed(words)) if words.contains("is not running") => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Ends and removes a container with its anonymous volumes, and returns when it is gone.
    pub async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let (docker, name) = (self.docker().await?.clone(), name.to_owned());
        let engine = self.clone();
        self.to_its_end(async move {
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            let mut pause = Duration::from_millis(20);
            loop {
                match docker.remove_container(&name, Some(options.clone())).await {
                    Ok(()) => return Ok(()),
                    Err(error) => match sorted(error) {
                        EngineError::NotFound(_) => return Ok(()),
                        // Someone else is removing it: look again until it is gone.
                        EngineError::Conflict(words) => {
                            if engine.inspect(&name).await.is_ok_and(|found| found.is_none()) {
                                return Ok(());
                            }
                            if pause > Duration::from_secs(5) {
                                return Err(Error::DockerResponseServerError { status_code: 409, message: words });
                            }
                            tokio::time::sleep(pause).await;
                            pause *= 2;
                        }
                        EngineError::Refused(message)
                        | EngineError::Failed(message)
                        | EngineError::Unreachable(message) => {
                            return Err(Error::DockerStreamError { error: message });
                        }
                    },
                }
            }
        })
        .await
    }

    /// Bytes that a container has written beside its image and its mounts. The engine looks through all of it.
    pub async fn layer_bytes(&self, name: &str) -> Result<u64, EngineError> {
        let options = InspectContainerOptions { size: true };
        let found = self.docker().await?.inspect_container(name, Some(options)).await.map_err(sorted)?;
        Ok(found.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }

    /// Where the engine keeps layers.
    pub async fn storage_driver(&self) -> Result<StorageDriver, EngineError> {
        let info = self.info().await?;
        let mut status = info.driver_status.unwrap_or_default().into_iter();
        let file_system = status.find_map(|pair| match <[String; 2]>::try_from(pair) {
            Ok([key, value]) if key == "Backing Filesystem" => Some(value),
            Ok(_) | Err(_) => None,
        });
        Ok(StorageDriver { name: info.driver.unwrap_or_default(), file_system: file_system.unwrap_or_default() })
    }

    /// Every container, running or not, that carries all these labels.
    pub async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<ContainerSummary>, EngineError> {
        let wanted = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), wanted)])),
            ..ListContainersOptions::default()
        };
        let docker = self.docker().await?;
        settling(|| docker.list_containers(Some(options.clone()))).await.map_err(sorted)
    }

    /// Pulls an image. Gives up when nothing moves for `stall`. `layers` is told how far it is.
    pub async fn pull(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
        stall: Duration,
        layers: &Mutex<Layers>,
    ) -> Result<(), EngineError> {
        // A pull that is tried again is told of from its beginning.
        *layers.lock().unwrap_or_else(PoisonError::into_inner) = Layers::default();
        let (docker, image) = (self.docker().await?.clone(), super::image::whole_reference(image));
        let login = login.map(|login| bollard::auth::DockerCredentials {
            username: login.username.clone(),
            password: login.password.clone(),
            identitytoken: login.identity_token.clone(),
            serveraddress: Some(login.server.clone()),
            ..bollard::auth::DockerCredentials::default()
        });
        let options = CreateImageOptions { from_image: Some(image), ..CreateImageOptions::default() };
        let mut steps = docker.create_image(Some(options), None, login);
        loop {
            match tokio::time::timeout(stall, steps.next()).await {
                Ok(Some(Ok(told))) => layers.lock().unwrap_or_else(PoisonError::into_inner).saw(&told),
                Ok(Some(Err(error))) => return Err(sorted(error)),
                Ok(None) => return Ok(()),
                Err(_) => {
                    return Err(EngineError::Failed(format!("nothing moved for {} s", stall.as_secs())));
                }
            }
        }
    }

    /// The digest an image was pulled by, or its id when it was never in a registry.
    pub async fn image_digest(&self, image: &str) -> Result<Option<String>, EngineError> {
        let found = self.docker().await?.inspect_image(image).await.map_err(sorted)?;
        let pulled = found.repo_digests.unwrap_or_default().into_iter().next();
        Ok(pulled.or(found.id))
    }

    /// The bytes of an image.
    pub async fn image_bytes(&self, image: &str) -> Result<u64, EngineError> {
        let found = self.docker().await?.inspect_image(image).await.map_err(sorted)?;
        Ok(found.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }

    /// The end of what a container's first process wrote: for a wrapper that could not start its work.
    pub async fn last_words(&self, name: &str) -> Result<String, EngineError> {
        let options = LogsOptions { stdout: true, stderr: true, tail: "20".into(), ..LogsOptions::default() };
        let mut pieces = self.docker().await?.logs(name, Some(options));
        let mut words = Vec::new();
        while let Some(piece) = pieces.next().await {
            words.extend_from_slice(&piece.map_err(sorted)?.into_bytes());
            if words.len() > 4_096 {
                break;
            }
        }
        words.truncate(4_096);
        Ok(String::from_utf8_lossy(&words).trim().to_owned())
    }

    /// Runs a call so that it reaches its end even when nobody waits for it any more.
    async fn to_its_end<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let under_way = self.under_way.clone();
        under_way.send_modify(|calls| *calls += 1);
        let task = tokio::spawn(async move {
            let answer = call.await;
            under_way.send_modify(|calls| *calls -= 1);
            answer
        });
        match task.await {
            Ok(answer) => answer.map_err(sorted),
            Err(e) => Err(EngineError::Failed(format!("the call broke off: {e}"))),
        }
    }
}

/// Asks again while the answer cannot be read: for a moment after a container's end Podman tells of a state that
/// Docker does not have, and the library reads only Docker's.
async fn settling<T, F: Future<Output = Result<T, Error>>>(ask: impl Fn() -> F) -> Result<T, Error> {
    let mut pause = Duration::from_millis(20);
    loop {
        match ask().await {
            Err(Error::JsonDataError { .. }) if pause < Duration::from_secs(4) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
}

async fn connect(settings: &EngineSettings) -> Result<Docker, EngineError> {
    let version = settings.api.as_deref().and_then(client_version);
    let asked = version.is_none();
    let version = version.unwrap_or(*bollard::API_DEFAULT_VERSION);
    let host = settings.host.as_str();
    let docker = if host.starts_with("unix://") {
        Docker::connect_with_unix(host, ANSWER_WITHIN_S, &version)
    } else if host.starts_with("tcp://") || host.starts_with("http://") {
        Docker::connect_with_http(host, ANSWER_WITHIN_S, &version)
    } else {
        return Err(EngineError::Refused(format!(
            "`{host}` is no address of a container engine: use unix:///path or tcp://host:port"
        )));
    };
    let docker = docker.map_err(sorted)?;
    if asked { docker.negotiate_version().await.map_err(sorted) } else { Ok(docker) }
}

/// Where an engine keeps layers, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageDriver {
    /// The driver: `overlay2`, `btrfs`, …
    pub name: String,
    /// The file system below it, where that is another: `xfs`, `extfs`, …
    pub file_system: String,
}

/// What the engine knows of one container.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Its id.
    pub id: String,
    /// The id of its image.
    pub image: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Its state.
    pub state: ContainerState,
}

/// An error of the library, sorted by what to do next.
fn sorted(error: Error) -> EngineError {
    #[allow(clippy::wildcard_enum_match_arm)] // The library's enum grows with its features.
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            let words = message.trim().to_owned();
            match status_code {
                404 => EngineError::NotFound(words),
                409 => EngineError::Conflict(words),
                400..=499 => EngineError::Refused(words),
                // Podman says so with a 500.
                _ if words.contains("no such container") || words.contains("no such image") => {
                    EngineError::NotFound(words)
                }
                _ => EngineError::Failed(words),
            }
        }
        Error::DockerStreamError { error } => EngineError::Failed(error.trim().to_owned()),
        Error::SocketNotFoundError(path) => EngineError::Unreachable(format!("there is no socket at {path}")),
        Error::JsonDataError { message, .. } => {
            EngineError::Failed(format!("the engine's answer cannot be read: {message}"))
        }
        other => EngineError::Unreachable(with_causes(&other)),
    }
}

/// An error with everything that caused it: the outermost text of a connection error says nothing. What the system
/// said is enough.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(system) = inner.downcast_ref::<std::io::Error>() {
            return system.to_string();
        }
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

/// `1.41` as the library wants it.
fn client_version(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(status_code: u16, message: &str) -> EngineError {
        sorted(Error::DockerResponseServerError { status_code, message: message.into() })
    }

    #[test]
    fn answers_are_sorted_by_what_to_do_next() {
        let words = || "x".to_owned();
        for (status, expected) in [
            (404, EngineError::NotFound(words())),
            (409, EngineError::Conflict(words())),
            (400, EngineError::Refused(words())),
            (403, EngineError::Refused(words())),
            (500, EngineError::Failed(words())),
            (503, EngineError::Failed(words())),
        ] {
            assert_eq!(answer(status, "x"), expected);
        }
        assert_eq!(answer(500, "no such container x"), EngineError::NotFound("no such container x".into()));
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_told_in_the_systems_words() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let engine = Engine::at(EngineSettings { host: format!("unix://{}", socket.display()), api: None });
        let error = engine.ping().await.unwrap_err();
        assert_eq!(error, EngineError::Unreachable("Connection refused (os error 111)".to_owned()));
    }

    #[test]
    fn versions_come_and_go_as_text() {
        let version = client_version("1.41").unwrap();
        assert_eq!(version.to_string(), "1.41");
        assert!(client_version("new").is_none());
    }
}
