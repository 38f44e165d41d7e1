//! Our way to the API server: one client, one budget, errors sorted.
//!
//! A token that a kubeconfig or a service account names as a file, and what a credential plugin answers, is read again
//! when it changes, and so is the authority of a service account. A client certificate of a kubeconfig is read once:
//! when it is renewed, the server has to be started again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tessera_contract::BackendError;
use tower::buffer::Buffer;
use tower::layer::layer_fn;
use tower::retry::Retry;
use tower::{BoxError, Service};

use crate::again::Again;
use crate::calls::{ANSWERS_WITHIN, Calls, Paced};
use crate::config::KubernetesConfig;
use crate::trouble::{self, Trouble};

/// How long one call may take with its answer and with what is tried again of it.
const DONE_WITHIN: Duration = Duration::from_secs(40);
/// Calls that may wait for their turn.
const WAITING: usize = 4_096;

/// The cluster as we reach it.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// The client.
    pub(crate) client: kube::Client,
    /// Where all our objects are.
    pub(crate) namespace: String,
    /// What we asked of it so far.
    pub(crate) calls: Arc<Calls>,
}

impl Cluster {
    /// As configured. Nothing is asked of the cluster yet.
    pub(crate) async fn connect(config: &KubernetesConfig) -> Result<Self, String> {
        let mut access = access(config).await?;
        // Tried again above the budget, not below it.
        access.default_retry = false;
        access.connect_timeout = Some(ANSWERS_WITHIN);
        if let Some(namespace) = &config.namespace {
            access.default_namespace.clone_from(namespace);
        }
        let namespace = access.default_namespace.clone();
        let builder = ClientBuilder::try_from(access).map_err(|e| format!("the API client cannot be made: {e}"))?;
        let calls = Arc::new(Calls::new(config.calls_per_second, config.calls_burst));
        let client = builder.with_layer(&layer_fn(|service| patient(service, calls.clone()))).build();
        Ok(Self { client, namespace, calls })
    }

    /// A cluster that is played by a service.
    #[cfg(test)]
    pub(crate) fn played<S, B>(service: S, namespace: &str) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = hyper::body::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let calls = Arc::new(Calls::new(1_000, 1_000));
        let builder = ClientBuilder::new(service, namespace);
        let client = builder.with_layer(&layer_fn(|service| patient(service, calls.clone()))).build();
        Self { client, namespace: namespace.to_owned(), calls }
    }

    /// Carries one call out, with an end to its patience. `verb` and `resource` are those of a Role.
    pub(crate) async fn call<T>(
        &self,
        verb: &'static str,
        resource: &'static str,
        call: impl Future<Output = kube::Result<T>> + Send,
    ) -> Result<T, Trouble> {
        match tokio::time::timeout(DONE_WITHIN, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(trouble::of(verb, resource, &self.namespace, &error)),
            Err(_elapsed) => Err(Trouble {
                code: None,
                error: BackendError::Unavailable(format!(
                    "to {verb} {resource} in namespace `{}`: the API server did not answer within {} s",
                    self.namespace,
                    DONE_WITHIN.as_secs()
                )),
            }),
        }
    }
}

async fn access(config: &KubernetesConfig) -> Result<kube::Config, String> {
    let options = KubeConfigOptions { context: config.context.clone(), ..KubeConfigOptions::default() };
    let of_file = |error: &dyn std::fmt::Display, file: &str| format!("the kubeconfig {file} cannot be used: {error}");
    if let Some(file) = &config.kubeconfig {
        let name = file.display().to_string();
        let read = Kubeconfig::read_from(file).map_err(|e| of_file(&e, &name))?;
        return kube::Config::from_custom_kubeconfig(read, &options).await.map_err(|e| of_file(&e, &name));
    }
    match kube::Config::from_kubeconfig(&options).await {
        Ok(found) => Ok(found),
        // Inside a cluster, and nothing was said of another one.
        Err(_none) if in_a_pod() && config.context.is_none() => {
            kube::Config::incluster().map_err(|e| format!("the service account of this pod cannot be used: {e}"))
        }
        Err(error) => Err(of_file(&error, "of the environment")),
    }
}

fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && std::env::var_os("KUBECONFIG").is_none()
}

type Sent<B> = BoxFuture<'static, Result<Response<B>, BoxError>>;

/// What a client of ours is over whatever carries its requests.
fn patient<S, B>(service: S, calls: Arc<Calls>) -> Retry<Again, Buffer<Request<Body>, Sent<B>>>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    Retry::new(Again::default(), Buffer::new(Paced::new(service, calls), WAITING))
}
