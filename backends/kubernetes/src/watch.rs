//! Keeps the mirror up: one watch for all Jobs, one for all Pods.
//!
//! A watch that breaks is taken up where it was; one that was away for too long lists anew. Each is opened again every
//! minute, so that a connection that died without a word is noticed. Now and then all
//! is listed anew, whatever the watch says: an API server that came back with an older store tells nothing until its
//! versions have grown beyond those that we know.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Resource, runtime};
use serde::de::DeserializeOwned;
use tessera_contract::BackendError;
use tokio::time::Instant;
use tracing::debug;

use crate::mirror::{Kind, Mirror};
use crate::names;
use crate::site::Site;
use crate::slim::{SlimJob, SlimPod};
use crate::trouble;

/// How long the API server leaves a watch open.
const OPEN_S: u32 = 55;
/// How often all is listed anew.
const LISTED_ANEW: Duration = Duration::from_secs(1_800);
/// Objects in a page of a listing.
const PAGE: u32 = 500;
/// How long a page of a listing may take.
const PAGE_WITHIN: Duration = Duration::from_secs(60);
/// How often is looked, while nothing is told, whether it is time to list anew.
const LOOKS: Duration = Duration::from_secs(5);
/// The first and the longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What is watched.
pub(crate) trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// Its kind.
    const KIND: Kind;

    /// It is there.
    fn put(self, mirror: &Mirror);

    /// It is gone.
    fn drop(self, mirror: &Mirror);
}

impl Watched for SlimJob {
    const KIND: Kind = Kind::Jobs;

    fn put(self, mirror: &Mirror) {
        mirror.put_job(self);
    }

    fn drop(self, mirror: &Mirror) {
        mirror.drop_job(self);
    }
}

impl Watched for SlimPod {
    const KIND: Kind = Kind::Pods;

    fn put(self, mirror: &Mirror) {
        mirror.put_pod(self);
    }

    fn drop(self, mirror: &Mirror) {
        mirror.drop_pod(self);
    }
}

/// Keeps one kind up, for ever.
pub(crate) async fn watch<K: Watched>(site: Arc<Site>) {
    let selector = names::selector(&site.setting.installation, &site.setting.name);
    let config = watcher::Config::default().labels(&selector).timeout(OPEN_S).page_size(PAGE);
    loop {
        let api: Api<K> = Api::namespaced(site.cluster.client.clone(), &site.cluster.namespace);
        follow(&site, runtime::watcher(api, config.clone())).await;
    }
}

/// Follows one watch until a listing takes too long, or it is time to list anew.
async fn follow<K: Watched>(site: &Site, watch: impl futures::Stream<Item = watcher::Result<Event<K>>>) {
    let mut watch = std::pin::pin!(watch);
    let mirror = &site.mirror;
    let resource = K::KIND.resource();
    let opened = || site.cluster.calls.opened(resource);
    let (mut listing, mut pause) = (true, PAUSE.0);
    let list_anew = Instant::now() + LISTED_ANEW;
    loop {
        if !listing && Instant::now() >= list_anew {
            return;
        }
        let patience = if listing { PAGE_WITHIN } else { LOOKS };
        let Ok(event) = tokio::time::timeout(patience, watch.next()).await else {
            if listing {
                let text = format!("to list {resource} in namespace `{}`: it took too long", site.cluster.namespace);
                mirror.broke(K::KIND, opened(), BackendError::Unavailable(text));
                return;
            }
            continue;
        };
        match event {
            None => return,
            Some(Ok(event)) => {
                pause = PAUSE.0;
                match event {
                    Event::Init => {
                        listing = true;
                        mirror.begin(K::KIND);
                    }
                    Event::InitDone => {
                        listing = false;
                        mirror.complete(K::KIND);
                    }
                    Event::InitApply(object) | Event::Apply(object) => object.put(mirror),
                    Event::Delete(object) => object.drop(mirror),
                }
            }
            Some(Err(error)) => {
                // Told in the watch, the watcher lists anew by itself; told in place of it, it would ask for ever.
                let too_old = matches!(&error, watcher::Error::WatchStartFailed(kube::Error::Api(s)) if s.code == 410);
                let error = sorted(resource, &site.cluster.namespace, error);
                debug!(backend = site.setting.name, resource, %error, "the watch has broken");
                mirror.broke(K::KIND, opened(), error);
                tokio::time::sleep(pause).await;
                if too_old {
                    return;
                }
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

fn sorted(resource: &str, namespace: &str, error: watcher::Error) -> BackendError {
    let of = |verb, error: kube::Error| trouble::of(verb, resource, namespace, &error).error;
    match error {
        watcher::Error::InitialListFailed(error) => of("list", error),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => of("watch", error),
        watcher::Error::WatchError(status) => of("watch", kube::Error::Api(status)),
        watcher::Error::NoResourceVersion => BackendError::Unavailable(format!(
            "to watch {resource} in namespace `{namespace}`: an object without a version"
        )),
    }
}
