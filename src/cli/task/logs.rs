//! `tessera task logs`.

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::client::wire::TaskLog;

/// Show what a task's server and executors said, attempt by attempt
///
/// Of each stream the end is shown, as much as the server keeps in a task.
#[derive(Debug, Args)]
pub struct Logs {
    /// The task
    id: String,

    #[command(flatten)]
    connection: Connection,
}

impl Logs {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let task = self.connection.client()?.get(&self.id, "FULL").await?;
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
