//! `tessera task logs`.

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{exit, watch};
use crate::client::wire::{State, TaskLog};
use crate::client::{Client, Said, Wanted};

/// Show what a task's server and executors said, attempt by attempt
///
/// Of each stream the end is shown, as much as the server keeps in a task. With any of the options below everything
/// that the commands printed, and nothing else: their standard output on standard output, their standard error on
/// standard error. That needs a Tessera server; of any other one the ends are all there is.
#[derive(Debug, Args)]
pub struct Logs {
    /// The task
    id: String,

    /// Go on until the task has ended
    #[arg(short, long)]
    follow: bool,

    /// Everything that the commands printed, and not only its end
    #[arg(long)]
    all: bool,

    /// Everything of this attempt; the first is 1
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,

    /// Everything of this executor; the first is 0
    #[arg(long, value_name = "N")]
    executor: Option<u32>,

    /// Everything of this stream
    #[arg(long, value_name = "NAME", value_parser = ["stdout", "stderr"])]
    stream: Option<String>,

    #[command(flatten)]
    connection: Connection,
}

impl Logs {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let client = self.connection.client()?;
        if self.follow || self.all || self.attempt.is_some() || self.executor.is_some() || self.stream.is_some() {
            let Self { id, follow, attempt, executor, stream, .. } = self;
            return everything(&client, &id, &Wanted { attempt, executor, stream, follow }, printer).await;
        }
        let task = client.get(&self.id, "FULL").await?;
        if printer.is_json() {
            return printer.json(&task.logs);
        }
        for (index, attempt) in task.logs.iter().enumerate() {
            if task.logs.len() > 1 {
                printer.line(&format!("== attempt {}", index + 1))?;
            }
            printer.write(told(attempt).as_bytes())?;
        }
        Ok(())
    }
}

/// All of it, as it comes.
async fn everything(client: &Client, id: &str, wanted: &Wanted, printer: &mut Printer) -> Result<(), Failure> {
    let mut printed = client.printed(id, wanted);
    let mut told = false;
    while !printer.is_closed() {
        match printed.next().await? {
            Said::Out(bytes) => printer.write(&bytes)?,
            Said::Err(bytes) => printer.write_error(&bytes)?,
            Said::Lost { attempt, reason } => {
                printer.say(&format!("not all of what attempt {attempt} of task {id} printed can be had: {reason}"));
            }
            Said::End(State::Complete) => break,
            Said::End(state) => {
                // Nothing printed and nothing run look the same otherwise.
                if wanted.follow {
                    printer.say(&format!("task {id} ended {}", state.word()));
                }
                break;
            }
            Said::BreaksOff => {
                let says = format!("the server breaks off what task {id} prints again and again");
                let seen = client.get(id, "MINIMAL").await;
                if seen.is_ok_and(|task| task.state.is_some_and(|state| state.is_final())) {
                    let advice = "its end is in `tessera task logs` without options";
                    return Err(Failure::new(exit::FAILURE, format!("{says}; {advice}")));
                }
                if !std::mem::replace(&mut told, true) {
                    printer.say(&format!("{says}; asking on"));
                }
            }
            Said::NotTold => return ends(client, id, wanted, printer).await,
        }
    }
    Ok(())
}

/// What there is on a server that does not tell while it runs: the ends, once the task has ended.
async fn ends(client: &Client, id: &str, wanted: &Wanted, printer: &mut Printer) -> Result<(), Failure> {
    if wanted.follow {
        watch::until_ended(client, &[id.to_owned()], None, printer).await?;
    }
    let task = client.get(id, "FULL").await?;
    let number = |index: usize, first: usize| u32::try_from(index + first).ok();
    let attempts = task.logs.iter().enumerate();
    for (_, attempt) in attempts.filter(|(index, _)| wanted.attempt.is_none_or(|n| number(*index, 1) == Some(n))) {
        let executors = attempt.logs.iter().enumerate();
        for (_, log) in executors.filter(|(index, _)| wanted.executor.is_none_or(|n| number(*index, 0) == Some(n))) {
            if wanted.stream.as_deref() != Some("stderr") {
                printer.write(log.stdout.as_deref().unwrap_or_default().as_bytes())?;
            }
            if wanted.stream.as_deref() != Some("stdout") {
                printer.write_error(log.stderr.as_deref().unwrap_or_default().as_bytes())?;
            }
        }
    }
    Ok(())
}

/// An attempt as text: the server's sentences, then each executor's streams under a heading.
fn told(attempt: &TaskLog) -> String {
    let mut text = String::new();
    for line in &attempt.system_logs {
        text += line;
        text += "\n";
    }
    for (index, executor) in attempt.logs.iter().enumerate() {
        let code = executor.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
        for (stream, said) in [("stdout", &executor.stdout), ("stderr", &executor.stderr)] {
            let said = said.as_deref().unwrap_or_default();
            if said.is_empty() && stream == "stderr" {
                continue;
            }
            text += &format!("-- executor {index}{code}: {stream}\n{said}");
            if !said.is_empty() && !said.ends_with('\n') {
                text += "\n";
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wire::ExecutorLog;

    #[test]
    fn an_attempt_is_told_in_order() {
        let executor = ExecutorLog { exit_code: Some(3), stdout: Some("hi".into()), ..ExecutorLog::default() };
        let attempt = TaskLog { logs: vec![executor], system_logs: vec!["handed over".into()], ..TaskLog::default() };
        assert_eq!(told(&attempt), "handed over\n-- executor 0, exit code 3: stdout\nhi\n");
    }
}
