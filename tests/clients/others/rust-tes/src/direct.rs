//! The `tes` crate by itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tes::v1::Client;
use tes::v1::types::requests::{GetTaskParams, ListTasksParams, Task, View};
use tes::v1::types::responses;
use tes::v1::types::task::{Executor, Input, IoType, Output, Resources, State};

use crate::{BUSYBOX, Place};

/// No second try: the server has to answer the first time.
const ONCE: [Duration; 0] = [];

/// A file in, a file and a directory out.
pub(crate) async fn files(place: &Place) -> Result<()> {
    let input = Input { url: Some(place.url("in.txt")), path: "/in/in.txt".into(), ..Input::default() };
    let task = Task {
        inputs: Some(vec![input]),
        outputs: Some(vec![
            Output { url: place.url("out.txt"), path: "/out/out.txt".into(), ..Output::default() },
            Output { url: place.url("all"), path: "/all".into(), ty: IoType::Directory, ..Output::default() },
        ]),
        resources: Some(Resources { cpu_cores: Some(1), ram_gb: Some(0.268), ..Resources::default() }),
        ..sh("tr a-z A-Z </in/in.txt >/out/out.txt && echo one >/all/one && echo said")
    };
    let client = client(place)?;
    let info = client.service_info(ONCE).await.context("service info")?;
    let task = end(&client, &task).await?;
    ensure!(task.state == Some(State::Complete), "{task:?}");
    let log = task.logs.as_ref().and_then(|logs| logs.last()).context("no log")?;
    ensure!(log.logs.len() == 1 && log.logs[0].exit_code == 0, "{log:?}");
    ensure!(log.logs[0].stdout.as_deref() == Some("said\n"), "{log:?}");
    ensure!(log.outputs.len() == 2 && log.outputs.iter().any(|it| it.size_bytes == "6"), "{log:?}");
    ensure!(place.read("out.txt")? == "HELLO\n" && place.read("all/one")? == "one\n");
    ensure!(task.resources.as_ref().and_then(|it| it.ram_gb) == Some(0.268), "{task:?}");
    println!("# {info:?}");
    Ok(())
}

/// A command that fails.
pub(crate) async fn failure(place: &Place) -> Result<()> {
    let task = end(&client(place)?, &sh("echo broken >&2; exit 7")).await?;
    ensure!(task.state == Some(State::ExecutorError), "{task:?}");
    let log = task.logs.as_ref().and_then(|logs| logs.last()).context("no log")?;
    ensure!(log.logs[0].exit_code == 7 && log.logs[0].stderr.as_deref() == Some("broken\n"), "{log:?}");
    Ok(())
}

/// A cancel, whose body is the literal `null` (TES contract 3.8).
pub(crate) async fn cancel(place: &Place) -> Result<()> {
    let client = client(place)?;
    let id = client.create_task(&sh("sleep 600"), ONCE).await?.id;
    println!("{id}");
    until(&client, &id, |state| state == State::Running).await?;
    client.cancel_task(&id, ONCE).await.context("cancel")?;
    until(&client, &id, |state| state == State::Canceled).await?;
    client.cancel_task(&id, ONCE).await.context("cancel once more")
}

/// Three pages of one task each, found by a tag and by a state.
pub(crate) async fn list(place: &Place) -> Result<()> {
    let client = client(place)?;
    let tags = [("story".to_owned(), "list".to_owned()), ("kind".to_owned(), String::new())];
    let mut made = Vec::new();
    for _ in 0..3 {
        let task = Task { tags: Some(tags.clone().into()), ..sh("true") };
        made.push(end(&client, &task).await?.id.context("no id")?);
    }
    for view in [View::Minimal, View::Basic, View::Full] {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = ListTasksParams {
                tag_keys: Some(vec!["story".into(), "kind".into()]),
                tag_values: Some(vec!["list".into(), String::new()]),
                state: Some(State::Complete),
                page_size: Some(1),
                page_token: token,
                view: Some(view),
                ..ListTasksParams::default()
            };
            let page = client.list_tasks(Some(&page), ONCE).await.with_context(|| format!("list {view:?}"))?;
            for task in page.tasks {
                found.push(match task {
                    responses::TaskResponse::Minimal(task) => task.id,
                    responses::TaskResponse::Basic(task) | responses::TaskResponse::Full(task) => {
                        task.id.context("no id")?
                    }
                });
            }
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        found.reverse();
        ensure!(found == made, "{view:?}: {found:?} of {made:?}");
    }
    Ok(())
}

fn client(place: &Place) -> Result<Client> {
    Ok(Client::builder().url(place.server.clone()).try_build()?)
}

fn sh(script: &str) -> Task {
    let executor = Executor {
        image: BUSYBOX.into(),
        command: vec!["sh".into(), "-c".into(), script.into()],
        ..Executor::default()
    };
    Task { name: Some("the tes crate".into()), executors: vec![executor], ..Task::default() }
}

/// Creates the task and waits for its end; the task in full.
async fn end(client: &Client, task: &Task) -> Result<responses::Task> {
    let id = client.create_task(task, ONCE).await.context("create")?.id;
    println!("{id}");
    until(client, &id, |state| !state.is_executing()).await?;
    let full = client.get_task(&id, Some(&GetTaskParams { view: View::Full }), ONCE).await.context("get")?;
    full.into_task().context("not a full view")
}

async fn until(client: &Client, id: &str, enough: impl Fn(State) -> bool) -> Result<()> {
    let look = async {
        loop {
            let seen = client.get_task(id, None, ONCE).await.context("get")?.into_minimal().context("not minimal")?;
            if seen.state.is_some_and(&enough) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), look).await.with_context(|| format!("{id} does not get there"))?
}
