//! Crankshaft, the engine inside Sprocket, with its TES backend.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use crankshaft::Engine;
use crankshaft::config::backend::{Config, Kind, tes};
use crankshaft::engine::Task;
use crankshaft::engine::service::runner::backend::TaskRunError;
use crankshaft::engine::task::input::{Contents, Type as InputType};
use crankshaft::engine::task::output::Type as OutputType;
use crankshaft::engine::task::{Execution, Input, Output, Resources};
use crankshaft::events::Event;
use nonempty::NonEmpty;
use tokio_util::sync::CancellationToken;

use crate::{BUSYBOX, Place};

const BACKEND: &str = "tessera";

/// A file, a literal and a directory in; files and a directory out; two executions, as a WDL task has.
pub(crate) async fn files(place: &Place) -> Result<()> {
    let file = Input::builder().path("/in/in.txt").ty(InputType::File);
    let literal = Input::builder().path("/in/literal").ty(InputType::File).contents(Contents::Literal(b"literal\n".into()));
    let folder = Input::builder().path("/in/folder").ty(InputType::Directory);
    let task = Task::builder()
        .name("files")
        .description("crankshaft's files")
        .inputs(vec![
            file.contents(Contents::url_from_str(place.url("in.txt"))?).build(),
            literal.build(),
            folder.contents(Contents::url_from_str(place.url("folder/"))?).build(),
        ])
        .outputs(vec![
            Output::builder().url(place.link("out.txt")?).path("/work/out.txt").ty(OutputType::File).build(),
            Output::builder().url(place.link("stdout")?).path("/work/stdout").ty(OutputType::File).build(),
            Output::builder().url(place.link("all/")?).path("/work/all").ty(OutputType::Directory).build(),
        ])
        .resources(Resources::builder().cpu(1.0).ram(0.25).build())
        .volumes(vec!["/shared".to_owned()])
        .executions(NonEmpty::from((
            sh("cat /in/in.txt /in/literal /in/folder/* >/shared/all", None)?,
            vec![sh("mkdir -p all/deep; cp /shared/all all/deep/x; sort /shared/all >out.txt; echo said", Some("/work/stdout"))?],
        )))
        .build();
    let ends = engine(place).await?.spawn(BACKEND, task, CancellationToken::new()).await?.wait().await?;
    ensure!(ends.len() == 2 && ends.iter().all(|end| end.status.success()), "{ends:?}");
    let image = ends.first().image.as_deref();
    ensure!(image == Some(BUSYBOX), "{image:?}");
    ensure!(place.read("stdout")? == "said\n");
    ensure!(place.read("out.txt")? == "deep\nhello\nliteral\n", "{:?}", place.read("out.txt"));
    ensure!(place.read("all/deep/x")? == "hello\nliteral\ndeep\n", "{:?}", place.read("all/deep/x"));
    Ok(())
}

/// Every execution ignores errors: the codes come back, and the second runs after the first has failed.
pub(crate) async fn failure(place: &Place) -> Result<()> {
    let executions = NonEmpty::from((sh("exit 3", None)?, vec![sh("exit 4", None)?]));
    let task = Task::builder().name("failure").executions(executions).build();
    let ends = engine(place).await?.spawn(BACKEND, task, CancellationToken::new()).await?.wait().await?;
    let codes: Vec<_> = ends.iter().map(|end| end.status.code()).collect();
    ensure!(codes == [Some(3), Some(4)], "{codes:?}");
    Ok(())
}

/// A fault of the system is an error that says which.
pub(crate) async fn fault(place: &Place) -> Result<()> {
    let missing = Contents::url_from_str(place.url("missing.txt"))?;
    let task = Task::builder()
        .name("fault")
        .inputs(vec![Input::builder().contents(missing).path("/in/x").ty(InputType::File).build()])
        .executions(NonEmpty::new(sh("true", None)?))
        .build();
    match engine(place).await?.spawn(BACKEND, task, CancellationToken::new()).await?.wait().await {
        Err(TaskRunError::Other(why)) if why.to_string().contains("missing.txt") => Ok(()),
        other => bail!("{other:?}"),
    }
}

/// Cancelled while it runs, as Ctrl-C in Sprocket does.
pub(crate) async fn cancel(place: &Place) -> Result<()> {
    let engine = engine(place).await?;
    let mut events = engine.subscribe()?;
    let token = CancellationToken::new();
    let task = Task::builder().name("cancel").executions(NonEmpty::new(sh("sleep 600", None)?)).build();
    let handle = engine.spawn(BACKEND, task, token.clone()).await?;
    let started = async {
        loop {
            match events.recv().await? {
                Event::TaskCreated { tes_id: Some(id), .. } => println!("{id}"),
                Event::TaskStarted { .. } => return anyhow::Ok(()),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(90), started).await.context("it was never seen to run")??;
    token.cancel();
    match tokio::time::timeout(Duration::from_secs(30), handle.wait()).await? {
        Err(TaskRunError::Canceled) => Ok(()),
        other => bail!("{other:?}"),
    }
}

/// Twenty tasks at once, all followed by one list of their common tag.
pub(crate) async fn many(place: &Place) -> Result<()> {
    let engine = engine(place).await?;
    let mut handles = Vec::new();
    for number in 0..20 {
        let executions = NonEmpty::new(sh(&format!("exit {number}"), None)?);
        let task = Task::builder().name(format!("many-{number}")).executions(executions).build();
        handles.push(engine.spawn(BACKEND, task, CancellationToken::new()).await?);
    }
    for (number, handle) in handles.into_iter().enumerate() {
        let code = handle.wait().await?.first().status.code();
        ensure!(code == i32::try_from(number).ok(), "{number}: {code:?}");
    }
    Ok(())
}

async fn engine(place: &Place) -> Result<Engine> {
    let tes = tes::Config::builder().url(place.server.clone()).interval(1).resource_usage_metadata(true).build();
    let config = Config::builder().name(BACKEND).kind(Kind::TES(tes)).max_tasks(100).build();
    Engine::default().with(config).await
}

fn sh(script: &str, stdout: Option<&str>) -> Result<Execution> {
    Ok(Execution::builder()
        .images([BUSYBOX])?
        .program("sh")
        .args(vec!["-c".to_owned(), script.to_owned()])
        .work_dir("/work")
        .maybe_stdout(stdout)
        .build())
}
