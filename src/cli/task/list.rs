//! `tessera task list`.

use std::collections::BTreeMap;

use clap::Args;

use super::get::View;
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::pair;
use crate::cli::printer::Printer;
use crate::client::ListFilter;
use crate::client::own::Waiting;
use crate::client::wire::{State, Task, TaskPage};

/// List tasks, newest first: one page, or all of them
#[derive(Debug, Args)]
pub struct List {
    /// Only tasks in this state, such as RUNNING
    #[arg(long)]
    state: Option<String>,

    /// Only tasks whose name begins with this text
    #[arg(long, value_name = "TEXT")]
    name_prefix: Option<String>,

    /// Only tasks with this tag; without a value: with any value
    #[arg(long = "tag", value_name = "KEY[=VALUE]", value_parser = pair::parse_tag)]
    tags: Vec<(String, Option<String>)>,

    /// How many tasks a page
    #[arg(long, value_name = "N")]
    page_size: Option<u32>,

    /// Where to go on: the token of the former page
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,

    /// All pages from there on
    #[arg(long)]
    all: bool,

    /// How much of each task `--json` shows
    #[arg(long, value_enum, default_value_t = View::Basic)]
    view: View,

    #[command(flatten)]
    connection: Connection,
}

impl List {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let client = self.connection.client()?;
        let mut filter = ListFilter {
            name_prefix: self.name_prefix,
            state: self.state.map(|state| state.to_ascii_uppercase()),
            tags: self.tags,
            view: Some(self.view.word().to_owned()),
            page_size: self.page_size,
            page_token: self.page_token,
        };
        let mut found = TaskPage::default();
        let mut waiting = None;
        loop {
            let page = client.list(&filter).await?;
            found.next_page_token = page.next_page_token.filter(|token| !token.is_empty());
            if printer.is_json() {
                found.tasks.extend(page.tasks);
            } else {
                // Page by page: the whole listing may be long.
                if waiting.is_none() && page.tasks.iter().any(may_wait) {
                    // The listing stands without it.
                    waiting = Some(client.queue().await.unwrap_or_default());
                }
                let rows: Vec<_> = page.tasks.iter().map(|task| row(task, waiting.as_ref())).collect();
                printer.table(&["ID", "STATE", "CREATED", "NAME", "WAITS FOR"], &rows)?;
            }
            filter.page_token = found.next_page_token.clone();
            if !self.all || filter.page_token.is_none() || printer.is_closed() {
                break;
            }
        }
        if printer.is_json() {
            return printer.json(&found);
        }
        if let Some(token) = found.next_page_token.filter(|_| !printer.is_closed()) {
            printer.say(&format!("there are more: --all, or --page-token {token}"));
        }
        Ok(())
    }
}

/// Whether it may be in the queue: some servers show no QUEUED.
fn may_wait(task: &Task) -> bool {
    matches!(task.state, Some(State::Queued | State::Initializing))
}

/// What a task waits for, by id.
type Queue = BTreeMap<String, Waiting>;

fn row(task: &Task, queue: Option<&Queue>) -> Vec<String> {
    let waiting = queue.zip(task.id.as_ref()).and_then(|(queue, id)| queue.get(id));
    vec![
        task.id.clone().unwrap_or_default(),
        task.state.as_ref().map(State::word).unwrap_or_default().to_owned(),
        task.creation_time.clone().unwrap_or_default(),
        // A name may hold anything; a table's cell may not.
        task.name.as_deref().unwrap_or_default().replace(char::is_control, " "),
        waiting.map(|waiting| waiting.message.replace(char::is_control, " ")).unwrap_or_default(),
    ]
}
