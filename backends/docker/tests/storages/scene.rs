//! A job whose files lie in a bucket, and a proxy before the bucket's server.

use std::fs;
use std::path::{Path, PathBuf};

use tessera_contract::Job;
use tessera_runtime::plan::{Input, Kind, Output, Source};
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Cache, Rule};

use crate::ground::{Ground, Place, job, unique};
use crate::proxy::Proxy;
use crate::rig::Rig;

/// Fetched in several requests, and sent in several parts.
pub(crate) const LARGE: usize = 40 << 20;

/// Where a job meets its files.
pub(crate) struct Scene {
    pub(crate) ground: Ground,
    pub(crate) proxy: Proxy,
    rig: Rig,
    /// What all its keys begin with.
    name: String,
}

impl Scene {
    /// `None` without Docker or without the storages.
    pub(crate) async fn new() -> Option<Self> {
        let (place, rig) = (Place::docker().await?, Rig::find()?);
        let proxy = Proxy::before(&rig.s3.endpoint).await;
        Some(Self { ground: Ground::new(&place), proxy, rig, name: format!("docker-{}", unique()) })
    }

    /// The URL of a key.
    pub(crate) fn url(&self, key: &str) -> String {
        format!("s3://{}/{}/{key}", self.rig.s3.bucket, self.name)
    }

    /// Where the server has a key on its disk.
    pub(crate) fn behind(&self, key: &str) -> PathBuf {
        self.rig.s3.folder.join(&self.rig.s3.bucket).join(&self.name).join(key)
    }

    /// A job of these scripts that reaches the bucket through the proxy, may use the ground's folder, and has a cache.
    pub(crate) fn job(&self, scripts: &[&str]) -> Job {
        let mut job = job(scripts);
        let (s3, folder) = (&self.rig.s3, self.ground.folder.path());
        job.plan.storage.rules = vec![Rule {
            prefix: "s3://".to_owned(),
            endpoint: Some(self.proxy.url().to_owned()),
            region: Some(s3.region.clone()),
            access_key_id: Some(s3.access_key_id.clone()),
            secret_access_key: Some(Secret::new(&s3.secret_access_key)),
            ..Rule::default()
        }];
        job.plan.storage.file_roots = vec![folder.display().to_string()];
        let dir = folder.join("cache");
        fs::create_dir_all(&dir).unwrap();
        job.plan.storage.cache = Some(Cache { dir: dir.display().to_string(), max_bytes: 1 << 30 });
        job
    }

    /// Puts an object into the bucket by a job of its own, so that it has all that its server notes of objects.
    pub(crate) async fn holds(&self, key: &str, content: &[u8]) {
        let from = self.ground.folder.path().join("sent");
        fs::write(&from, content).unwrap();
        let mut job = self.job(&["true"]);
        job.plan.inputs = vec![input("/sent", &from.display().to_string())];
        job.plan.outputs = vec![output("/sent", &self.url(key))];
        let backend = self.ground.open().await;
        let handle = tessera_contract::Backend::submit(&*backend, &job).await.unwrap();
        let report = self.ground.ended(&backend, &handle).await;
        assert_eq!(report.outcome, tessera_runtime::report::Outcome::Complete, "{report:#?}");
        self.ground.put_away(&backend, &handle).await;
        self.proxy.forget();
    }
}

/// A file to fetch.
pub(crate) fn input(path: &str, url: &str) -> Input {
    Input { path: path.to_owned(), source: Source::Url(url.to_owned()), kind: Some(Kind::File) }
}

/// A file to deliver.
pub(crate) fn output(path: &str, url: &str) -> Output {
    Output { path: path.to_owned(), url: url.to_owned(), path_prefix: None, kind: Some(Kind::File) }
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}
