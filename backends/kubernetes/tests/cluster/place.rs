//! The cluster, and a namespace of our own in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use k8s_openapi::api::core::v1::Namespace as Object;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tessera_contract::rules::jobs::unique;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// Jobs, or small groups of them, at the same time, in all tests together.
const AT_ONCE: usize = 8;

/// A cluster to test on.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) kubeconfig: PathBuf,
    /// This machine, as pods see it.
    pub(crate) host: String,
    pub(crate) namespace: Arc<Namespace>,
}

impl Place {
    /// The cluster that the environment names, if it answers.
    pub(crate) async fn cluster() -> Option<Self> {
        let Some(kubeconfig) = std::env::var_os("KUBECONFIG").map(PathBuf::from) else {
            return cannot_run("KUBECONFIG names no cluster; tests/cluster/run starts one");
        };
        let Some(host) = host(&kubeconfig) else {
            return cannot_run("TESSERA_TEST_CLUSTER_HOST does not say how pods reach this machine");
        };
        let client = match client(&kubeconfig).await {
            Ok(client) => client,
            Err(why) => return cannot_run(&why),
        };
        if let Err(error) = client.apiserver_version().await {
            return cannot_run(&format!("the cluster of {} does not answer: {error}", kubeconfig.display()));
        }
        let namespace = shared(&client, &kubeconfig).await;
        Some(Self { client, kubeconfig, host, namespace })
    }

    /// The same cluster with another namespace, which has these labels.
    pub(crate) async fn elsewhere(&self, labels: &[(&str, &str)]) -> Self {
        let namespace = Arc::new(Namespace::made(&self.client, &self.kubeconfig, labels).await);
        Self { namespace, ..self.clone() }
    }

    /// All objects of a kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }
}

static TURNS: std::sync::LazyLock<Arc<Semaphore>> = std::sync::LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

/// Waits for its turn, so that a small node is not asked to do everything at once.
pub(crate) async fn turn() -> OwnedSemaphorePermit {
    TURNS.clone().acquire_owned().await.unwrap()
}

/// Waits until nobody else has a turn: for what others would suffer from.
pub(crate) async fn every_turn() -> OwnedSemaphorePermit {
    TURNS.clone().acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap()
}

/// One line, or a failure where a cluster is required.
fn cannot_run<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("TESSERA_REQUIRE_CLUSTER").is_none(), "a cluster is required: {why}");
    eprintln!("cannot run: {why}");
    None
}

fn host(kubeconfig: &Path) -> Option<String> {
    let beside = || std::fs::read_to_string(kubeconfig.with_file_name("host")).ok();
    let host = std::env::var("TESSERA_TEST_CLUSTER_HOST").ok().or_else(beside)?;
    Some(host.trim().to_owned()).filter(|host| !host.is_empty())
}

/// A client with all rights.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client, String> {
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| error.to_string())?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Client::try_from(config.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

/// A namespace that goes with the last who needs it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    kubeconfig: PathBuf,
}

/// The namespace of most tests of this process.
async fn shared(client: &Client, kubeconfig: &Path) -> Arc<Namespace> {
    static SHARED: Mutex<Weak<Namespace>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(namespace) = shared.upgrade() {
        return namespace;
    }
    let namespace = Arc::new(Namespace::made(client, kubeconfig, &[]).await);
    *shared = Arc::downgrade(&namespace);
    namespace
}

impl Namespace {
    async fn made(client: &Client, kubeconfig: &Path, labels: &[(&str, &str)]) -> Self {
        let name = format!("tessera-suite-{}", unique());
        let labels: BTreeMap<_, _> = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let metadata = ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() };
        let object = Object { metadata, ..Object::default() };
        Api::<Object>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
        // Without its default service account no pod can be made.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), &name);
        while accounts.get_opt("default").await.unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Self { name, kubeconfig: kubeconfig.to_owned() }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let (name, kubeconfig) = (self.name.clone(), self.kubeconfig.clone());
        // A thread with a runtime of its own, for this one may be going down with a test that failed.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let all = Api::<Object>::all(client(&kubeconfig).await?);
                all.delete(&name, &DeleteParams::default()).await.map_err(|error| error.to_string())?;
                Ok::<_, String>(())
            })
        });
        if !matches!(removed.join(), Ok(Ok(()))) {
            eprintln!("the namespace {} is left behind", self.name);
        }
    }
}
