//! A step's container is made: the image is there or pulled, the container created or found.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::attempt;
use super::container::{self, Places};
use super::disk;
use super::drive::Node;
use super::engine::EngineError;
use super::fault::{self, Trouble};
use super::image;
use super::layers::Layers;
use crate::course::patience::shown;
use crate::doing::Work;
use crate::layout::Mount;
use crate::places;
use crate::report::FaultClass;
use crate::stage::Shared;

/// Tries of a call that the engine failed, before its failure counts.
const TRIES: u32 = 3;
/// Looks for the container whose name is taken, half a minute in all.
const CONFLICT_TRIES: u32 = 35;

impl Node {
    /// Repeats a call for as long as there is no engine, and says so once.
    pub(super) async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let mut pause = Duration::from_millis(100);
        let mut told = false;
        loop {
            match call().await {
                Err(EngineError::Unreachable(words)) => {
                    if !told {
                        self.journal.tell(format!(
                            "the container engine at {} does not answer: {words}; waiting for it",
                            self.settings.engine.host
                        ));
                        told = true;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                answer => {
                    if told {
                        self.journal.tell("the container engine answers again");
                    }
                    return answer;
                }
            }
        }
    }

    /// The name of a step's container.
    pub(super) fn container(&self, step: u32) -> String {
        container::name(&self.settings.installation, &self.plan.job, step)
    }

    /// The image of a step.
    pub(super) fn image(&self, step: u32) -> &str {
        self.plan.executors.get(step as usize).map_or("", |executor| &executor.image)
    }

    /// Whether a container can be created before the inputs are in: an engine wants every file it mounts.
    pub(super) fn mounts_are_there(&self) -> bool {
        self.layout.mounts.iter().all(|mount| mount.directory)
    }

    /// The inputs that are mounted from where they lie on this host.
    pub(super) fn shared(&self) -> Result<Vec<Shared>, Trouble> {
        let shared = self.attempt.read_light(attempt::STAGED);
        let shared = shared.map_err(|e| Trouble::disk("reading", &self.attempt.file(attempt::STAGED), &e))?;
        Ok(shared.unwrap_or_default())
    }

    /// Host and container path of every mount from the tree, with no link on the way.
    pub(super) fn mounts(&self) -> Result<Vec<(std::path::PathBuf, String)>, Trouble> {
        let shared = self.shared()?;
        // What is mounted whole covers what would lie in it.
        let covers = |shared: &Shared, mount: &Mount| {
            shared.container == mount.container
                || shared.writable && places::is_within(&mount.container, &shared.container)
        };
        let in_tree = |mount: &&Mount| !shared.iter().any(|shared| covers(shared, mount));
        let mounts = self.layout.mounts.iter().filter(in_tree);
        mounts
            .map(|mount| match self.tree.mount_source(mount) {
                Ok(source) => Ok((source, mount.container.clone())),
                Err(error) => Err(Trouble::new(
                    FaultClass::Rejected,
                    format!("`{}` cannot be mounted from the task's tree: {error}", mount.container),
                )),
            })
            .collect()
    }

    /// Makes a step's container, or finds the one that a former node made.
    pub(super) async fn make(&self, step: u32) -> Result<(), Trouble> {
        let dir = self.attempt.step(step);
        let described = self.layout.step_file(&self.plan, step as usize);
        self.attempt.prepare_step(&described).map_err(|e| Trouble::disk("preparing a step", &dir, &e))?;
        let (name, image) = (self.container(step), self.image(step));
        let mut places = Places {
            step: dir,
            tree: self.tree.path().to_owned(),
            mounts: self.mounts()?,
            shared: self.shared()?,
            quota: None,
        };
        let mut pulled = false;
        let mut tries = 0;
        loop {
            places.quota = self.quota(image).await;
            let body = container::body(&self.plan, &self.settings, step, &places);
            let created = self.patiently(|| self.engine.create(&name, body.clone())).await;
            let error = match created {
                Ok(id) => {
                    self.journal.container(step, id);
                    if places.quota.is_some() {
                        self.disk.take();
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            tries += 1;
            match &error {
                EngineError::NotFound(_) if !pulled => {
                    self.pull(image).await?;
                    pulled = true;
                    continue;
                }
                EngineError::Failed(_) | EngineError::Refused(_)
                    if places.quota.is_some() && disk::is_about_quota(&error) =>
                {
                    self.disk.refuse();
                    continue;
                }
                // The name is taken by what a former node made, or the answer to our own call was lost.
                EngineError::Conflict(_) | EngineError::Failed(_) if self.find(step).await? => {
                    return Ok(());
                }
                EngineError::Failed(_) if tries < TRIES => {}
                // The name is taken and nothing bears it: the request of a former node is still under way.
                EngineError::Conflict(_) if tries < CONFLICT_TRIES => {}
                EngineError::NotFound(_)
                | EngineError::Conflict(_)
                | EngineError::Refused(_)
                | EngineError::Failed(_)
                | EngineError::Unreachable(_) => {
                    return Err(fault::creating(&self.settings.backend, image, &error));
                }
            }
            tokio::time::sleep(Duration::from_millis(50) * tries).await;
        }
    }

    /// Whether a container of that name is there and is ours.
    async fn find(&self, step: u32) -> Result<bool, Trouble> {
        let name = self.container(step);
        let found = self.patiently(|| self.engine.inspect(&name)).await;
        match found {
            Ok(Some(found)) => {
                let label = |key: &str| found.labels.get(key).map(String::as_str);
                let ours = label(container::INSTALLATION) == Some(&self.settings.installation)
                    && label(container::JOB) == Some(&self.plan.job);
                if ours {
                    self.journal.container(step, found.id);
                }
                Ok(ours)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(fault::creating(&self.settings.backend, self.image(step), &error)),
        }
    }

    /// Pulls an image if it is not there.
    pub(super) async fn have_image(&self, image: &str) -> Result<(), Trouble> {
        match self.patiently(|| self.engine.image_digest(image)).await {
            Err(EngineError::NotFound(_)) => self.pull(image).await,
            // Anything else is found out when the container is created.
            _ => Ok(()),
        }
    }

    async fn pull(&self, image: &str) -> Result<(), Trouble> {
        let backend = &self.settings.backend;
        self.journal.tell(format!("pulling image `{image}` on `{backend}`"));
        let login = self.settings.logins.get(image);
        let waits = |words: &str| {
            self.journal.tell(format!("pulling image `{image}` on `{backend}` is tried again: {words}"));
        };
        let layers = Mutex::new(Layers::default());
        let look = || {
            let (bytes, of_bytes) = layers.lock().unwrap_or_else(PoisonError::into_inner).amount();
            Work::Pulling { image: image.to_owned(), bytes, of_bytes }
        };
        let pull = image::pull(&self.engine, image, login, self.settings.pull, &layers, waits);
        shown(&self.journal, look, pull).await.map_err(|fault| {
            Trouble::new(fault.class, format!("failed to pull image `{image}` on `{backend}`: {}", fault.words))
        })
    }

    /// Notes which image a step really runs.
    pub(super) async fn note_digest(&self, step: u32) {
        let image = self.image(step);
        if self.journal.knows_image(image) {
            return;
        }
        if let Ok(Some(digest)) = self.engine.image_digest(image).await {
            self.journal.image(image, digest);
        }
    }
}
