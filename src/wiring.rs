//! Configuration in, running server out. The only file that names every concrete type; it decides nothing.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use axum::Router;
use futures::future::join_all;
use rustix::process::Resource;
use tessera_contract::scripted::{Outside, Scripted};
use tessera_contract::{Backend, Bell, InstallationId, Severity};
use tessera_docker::Docker;
use tessera_runtime::plan;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::config::{self, Config, MissingOutput};
use crate::embedded;
use crate::engine::{self, Engine};
use crate::http::{self, Access, BackendFacts, Bounds, Credentials, Doors, Files, Service, Stopping};
use crate::logs::{self, Logs};
use crate::store::Store;
use crate::store::sqlite::Sqlite;

/// How long a backend may take to say whether it can be reached, before readiness goes without its word.
const ASKED_FOR: Duration = Duration::from_secs(3);
/// How old such a word may be: whoever asks often asks us and not the engine.
const WORD_HOLDS: Duration = Duration::from_secs(2);
/// How often is looked for runtimes of former builds that no attempt uses any more.
const RUNTIME_SWEEP: Duration = Duration::from_secs(3_600);

/// Below the data folder: the attempts, a folder a backend.
const WORK: &str = "work";
/// Below the data folder: what tasks print.
const LOGS: &str = "logs";

/// A server, put together and bound to its port.
pub struct Server {
    config: Config,
    data: PathBuf,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    engine: Arc<Engine>,
    logs: Arc<Logs>,
    stop: watch::Sender<bool>,
    terminate: Signal,
    interrupt: Signal,
}

impl Server {
    /// Opens everything, in the order in which it can fail: what an operator must mend is said before a request is
    /// taken. An engine of a backend that does not answer is no error here.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        // Listen to signals before anything can be worth an orderly end.
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        take_all_descriptors();
        let data = open_data(&config)?;
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(config.store.below(&data))?);
        let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
            format!("cannot listen on {}; choose another address with --listen", config.server.listen)
        })?;
        let address = listener.local_addr()?;

        let backends = open_backends(&config, &data, &data.join(WORK), store.installation()).await?;
        let clock = Clock::system();
        let places = config.storage.places(&data).map_err(|reason| anyhow!(reason))?;
        let settings = http_settings(&config, &places, &backends)?;
        let logs = Logs::open(store.clone(), &backends, &data.join(LOGS), log_settings(&config.logs));
        let logs = logs.with_context(|| format!("cannot use the folder of the logs in `{}`", data.display()))?;
        let settings_of_engine = engine_settings(&config, places);
        let engine =
            Engine::with_logs(store.clone(), backends.clone(), clock.clone(), settings_of_engine, Some(logs.clone()));
        let (stop, stopping) = watch::channel(false);
        let stopping = Stopping::new(stopping);
        let router = http::router(doors(store, &logs, &engine, backends, clock, stopping, settings));
        Ok(Self { config, data, listener, address, router, engine, logs, stop, terminate, interrupt })
    }

    /// Where it listens; port 0 has become a real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT. Then nobody new is let in, requests and ticks under way get the grace of the
    /// configuration, and running jobs go on: the next server finds them.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { config, data, listener, address, router, engine, logs, stop, mut terminate, mut interrupt } = self;
        let grace = Duration::from_millis(config.server.shutdown_grace_ms);
        tracing::info!(%address, data = %data.display(), "serving");
        let sweeping = tokio::spawn(sweep_runtimes(data));
        let pruning = tokio::spawn(async move { logs.prune(jiff::Timestamp::now).await });
        let moving = tokio::spawn({
            let stopped = Stopping::new(stop.subscribe()).stopped();
            async move { engine.run(stopped).await }
        });
        let asked = async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("asked to stop; running jobs go on");
            stop.send_replace(true);
        };
        http::listener::serve(listener, router, asked, grace).await;
        if tokio::time::timeout(grace, moving).await.is_err() {
            tracing::warn!("the engine did not rest in time; the next server goes on where it stood");
        }
        sweeping.abort();
        pruning.abort();
        Ok(())
    }
}

/// The configured backends without a server, to be looked at. Their jobs are left alone: they get a work folder of
/// their own, next to the real one.
pub struct Inspection {
    backends: Vec<Arc<dyn Backend>>,
    work: PathBuf,
}

impl Inspection {
    /// Opens every configured backend.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let data = open_data(config)?;
        let work = data.join(format!(".inspection-{}", std::process::id()));
        // Made first, so that it is removed whatever goes wrong with the backends.
        let mut inspection = Self { backends: Vec::new(), work };
        let nobody = InstallationId("inspection".to_owned());
        inspection.backends = open_backends(config, &data, &inspection.work, &nobody).await?;
        Ok(inspection)
    }

    /// The backends, by name.
    pub fn backends(&self) -> &[Arc<dyn Backend>] {
        &self.backends
    }
}

impl Drop for Inspection {
    fn drop(&mut self) {
        self.backends.clear();
        // What is left of it holds no job and harms nobody.
        let _ = std::fs::remove_dir_all(&self.work);
    }
}

/// Each follower of a log or of events is a connection: the custom of 1,024 descriptors would soon be too few.
fn take_all_descriptors() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the number of connections that may be open at once");
    }
}

fn open_data(config: &Config) -> anyhow::Result<PathBuf> {
    let data = &config.server.data_dir;
    // Task contents and logs are nobody else's business.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data).and_then(|()| data.canonicalize());
    made.with_context(|| format!("cannot use the data folder `{}`; choose another with --data", data.display()))
}

/// The configured backends; the one for tasks that ask for none comes first.
async fn open_backends(
    config: &Config,
    data: &Path,
    work: &Path,
    installation: &InstallationId,
) -> anyhow::Result<Vec<Arc<dyn Backend>>> {
    let mut opened: Vec<Arc<dyn Backend>> = Vec::new();
    for (name, backend) in &config.backends.0 {
        let backend: Arc<dyn Backend> = match backend {
            config::Backend::Docker(docker) => {
                let mut docker = docker.clone();
                docker.stop_grace_ms = docker.stop_grace_ms.or(Some(config.policy.stop_grace_ms));
                let runtime = embedded::lay_out(data)?;
                let (installation, work) = (installation.clone(), work.join(name));
                Docker::open(name, docker, installation, work, runtime, Bell::default()).await?
            }
            config::Backend::Scripted(scripted) if scripted.in_memory => {
                Arc::new(Scripted::new(Outside::in_memory(), installation.clone()).named(name))
            }
            config::Backend::Scripted(scripted) => {
                let folder = scripted.folder.clone().unwrap_or_else(|| Path::new("scripted").join(name));
                let folder = data.join(folder);
                let scripted = Scripted::in_folder(&folder, installation.clone());
                let scripted = scripted.with_context(|| format!("backend `{name}`: `{}`", folder.display()))?;
                Arc::new(scripted.named(name))
            }
        };
        let is_default = *name == config.engine.default_backend;
        opened.insert(if is_default { 0 } else { opened.len() }, backend);
    }
    Ok(opened)
}

fn doors(
    store: Arc<dyn Store>,
    logs: &Arc<Logs>,
    engine: &Arc<Engine>,
    backends: Vec<Arc<dyn Backend>>,
    clock: Clock,
    stopping: Stopping,
    settings: http::Settings,
) -> Doors {
    let (dispatch, cancel) = (engine.clone(), engine.clone());
    let readiness = Arc::new(Readiness { backends, said: Mutex::new(None) });
    Doors {
        store,
        logs: logs.clone(),
        wake_dispatch: Arc::new(move || dispatch.wake_dispatch()),
        wake_cancel: Arc::new(move || cancel.wake_cancel()),
        ready: Arc::new(move || {
            let readiness = readiness.clone();
            Box::pin(async move { readiness.ask().await })
        }),
        clock: Arc::new(move || clock.now()),
        stopping,
        settings: Arc::new(settings),
    }
}

/// What each backend last said of itself.
type Said = Vec<(String, Result<(), String>)>;

struct Readiness {
    backends: Vec<Arc<dyn Backend>>,
    said: Mutex<Option<(Instant, Said)>>,
}

impl Readiness {
    async fn ask(&self) -> Said {
        // Held while asking: who comes meanwhile gets the same answer.
        let mut said = self.said.lock().await;
        if let Some((_, known)) = said.as_ref().filter(|(at, _)| at.elapsed() < WORD_HOLDS) {
            return known.clone();
        }
        let asked = join_all(self.backends.iter().map(|backend| async move {
            let found = tokio::time::timeout(ASKED_FOR, backend.check()).await;
            let problems = found.map(|found| {
                let problems = found.into_iter().filter(|finding| finding.severity == Severity::Problem);
                problems.map(|finding| format!("{}: {}", finding.subject, finding.message)).collect::<Vec<_>>()
            });
            let outcome = match problems {
                Ok(problems) if problems.is_empty() => Ok(()),
                Ok(problems) => Err(problems.join("; ")),
                Err(_) => Err(format!("did not answer within {} s", ASKED_FOR.as_secs())),
            };
            (format!("backend {}", backend.profile().name), outcome)
        }))
        .await;
        *said = Some((Instant::now(), asked.clone()));
        asked
    }
}

fn http_settings(
    config: &Config,
    places: &config::storage::Places,
    backends: &[Arc<dyn Backend>],
) -> anyhow::Result<http::Settings> {
    let facts = |backend: &Arc<dyn Backend>| {
        let profile = backend.profile();
        BackendFacts {
            name: profile.name.clone(),
            parameters: profile.parameters.clone(),
            stops_within: profile.stops_within,
        }
    };
    let body_bytes = usize::try_from(config.server.body_limit_bytes).unwrap_or(usize::MAX);
    let bounds = Bounds { body_bytes, time: Duration::from_millis(config.server.request_timeout_ms) };
    Ok(http::Settings {
        access: access(&config.auth)?,
        bounds,
        service: service(&config.service_info),
        storage: places.working.clone(),
        places: http::Places {
            files: Files {
                roots: places.everybody.file_roots.clone(),
                forbidden: places.everybody.file_forbidden.clone(),
            },
            lists: lists(&places.everybody),
            callers: places.callers.iter().map(|(name, storage)| (name.clone(), lists(storage))).collect(),
        },
        backends: backends.iter().map(facts).collect(),
        show_canceling: config.policy.show_canceling,
        hide_queued: !config.policy.show_queued,
        cors_origins: config.server.cors_origins.clone(),
    })
}

fn access(auth: &config::Auth) -> anyhow::Result<Access> {
    if !auth.is_required() {
        return Ok(Access::Open);
    }
    let secret = |text: &config::Secret, file: Option<&Path>| {
        let secret = config::Secret::resolve(text, file).map_err(|reason| anyhow!(reason))?;
        anyhow::Ok(http::Secret::new(secret.expose()))
    };
    let mut known = Credentials::default();
    for token in &auth.tokens {
        let read = secret(&token.token, token.token_file.as_deref())?;
        known.tokens.push(http::Token { name: token.name.clone(), token: read });
    }
    for user in &auth.users {
        let read = secret(&user.password, user.password_file.as_deref())?;
        known.users.push(http::User { name: user.name.clone(), password: read });
    }
    Ok(Access::Required(known))
}

fn service(info: &config::ServiceInfo) -> Service {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Service {
        id: info.id.clone(),
        name: info.name.clone(),
        description: some(&info.description),
        organization_name: info.organization_name.clone(),
        organization_url: info.organization_url.clone(),
        contact_url: some(&info.contact_url),
        documentation_url: some(&info.documentation_url),
        environment: some(&info.environment),
        created: info.created_at.parse().ok(),
        updated: info.updated_at.parse().ok(),
    }
}

/// The doors are told what may be named, and no key.
fn lists(storage: &plan::Storage) -> http::Lists {
    http::Lists { allow: storage.allow.clone(), deny: storage.deny.clone() }
}

fn engine_settings(config: &Config, places: config::storage::Places) -> engine::Settings {
    let policy = &config.policy;
    let set = &config.engine;
    let allows_host_network = |backend: &config::Backend| match backend {
        config::Backend::Docker(docker) => docker.allow_host_network,
        config::Backend::Scripted(_) => true,
    };
    let job = engine::JobSettings {
        policy: plan::Policy {
            missing_output: match policy.missing_output {
                MissingOutput::Fail => plan::MissingOutput::Fail,
                MissingOutput::Ignore => plan::MissingOutput::Ignore,
            },
            log_tail_bytes: policy.log_tail_bytes,
            log_cap_bytes: policy.log_cap_bytes,
            stop_grace_ms: policy.stop_grace_ms,
        },
        storage: places.everybody,
        owners: places.callers,
        // Each container backend has a bound of its own.
        pids: None,
        // Each backend that does not allow it refuses it for itself.
        host_network: config.backends.0.values().any(allows_host_network),
        parameters: policy.backend_parameters.clone(),
        default: amounts(&config.limits.default),
        most: amounts(&config.limits.most),
    };
    engine::Settings {
        poll_period_ms: set.poll_period_ms,
        sweep_period_ms: set.sweep_period_ms,
        call_timeout_ms: set.call_timeout_ms,
        claim_lease_ms: set.claim_lease_ms,
        attempts: set.attempts,
        retry_after_start: set.retry_after_start,
        backoff_first_ms: set.backoff_first_ms,
        backoff_most_ms: set.backoff_most_ms,
        misconfigured_first_ms: set.misconfigured_first_ms,
        misconfigured_most_ms: set.misconfigured_most_ms,
        probe_most_ms: set.probe_most_ms,
        note_waiting_after_ms: set.note_waiting_after_ms,
        note_unreadable_after_ms: set.note_unreadable_after_ms,
        cancel_again_ms: set.cancel_again_ms,
        scan: set.scan,
        claims: set.claims,
        calls_at_once: set.calls_at_once,
        observe_batch: set.observe_batch,
        default_cpu_milli: set.default_cpu_milli,
        default_ram_bytes: set.default_ram_bytes,
        job,
    }
}

fn log_settings(set: &config::Logs) -> logs::Settings {
    logs::Settings {
        keep_days: set.keep_days,
        keep_bytes: set.keep_bytes(),
        leave_free_bytes: set.leave_free_bytes(),
        give_up: set.give_up(),
    }
}

fn amounts(set: &config::Amounts) -> engine::Amounts {
    engine::Amounts {
        cpu_milli: set.cpu_milli(),
        ram_bytes: set.ram_bytes(),
        disk_bytes: set.disk_bytes(),
        walltime_ms: set.walltime_ms(),
        gpu_count: set.gpu_count,
    }
}

async fn sweep_runtimes(data: PathBuf) {
    let mut hourly = tokio::time::interval(RUNTIME_SWEEP);
    loop {
        hourly.tick().await;
        let data = data.clone();
        let swept = tokio::task::spawn_blocking(move || embedded::sweep(&data, &data.join(WORK))).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "cannot remove the tool runtime of a former build; it is tried again");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_engine_and_the_doors() {
        let config = Config::default();
        let places = config.storage.places(Path::new("/data")).unwrap();
        let doors = http_settings(&config, &places, &[]).unwrap();
        let mut settings = engine_settings(&config, places);
        assert_eq!(std::mem::take(&mut settings.job.storage.file_forbidden), ["/data"]);
        assert_eq!(settings.job.storage.cache.take().unwrap().dir, "/data/cache");
        assert_eq!(settings, engine::Settings::default());
        assert_eq!(log_settings(&config.logs), logs::Settings::default());
        assert_eq!((doors.bounds, doors.service), (Bounds::default(), Service::default()));
    }
}
