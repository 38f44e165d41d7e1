//! `tessera task create`.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;

/// Create tasks from JSON files; prints their ids, one a line
///
/// A file holds one task, several one after another, or a list of them; `-` is standard input. Nothing is created
/// when a file cannot be read.
#[derive(Debug, Args)]
pub struct Create {
    /// JSON files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A name for this creation, 1 to 255 visible ASCII characters: sent again, it creates nothing twice
    ///
    /// A lost answer is asked for again. It names one task: several are refused. Only for a server that knows the
    /// header `Idempotency-Key`, as Tessera does: another one may create the task twice.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    connection: Connection,
}

impl Create {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let mut tasks = Vec::new();
        for file in &self.files {
            tasks.extend(read(file)?);
        }
        if self.idempotency_key.is_some() && tasks.len() > 1 {
            let tasks = tasks.len();
            return Err(Failure::usage(format!(
                "--idempotency-key names one task, and there are {tasks}; create them one by one"
            )));
        }
        let client = self.connection.client()?;
        let mut ids = Vec::new();
        for task in &tasks {
            let id = match &self.idempotency_key {
                None => client.create(task).await?,
                Some(key) => client.create_once(task, key).await?,
            };
            // Said at once: the next task may be refused, and this one exists.
            if !printer.is_json() {
                printer.line(&id)?;
            }
            ids.push(serde_json::json!({ "id": id }));
        }
        if printer.is_json() {
            printer.json(&ids)?;
        }
        Ok(())
    }
}

fn read(file: &PathBuf) -> Result<Vec<Value>, Failure> {
    let shown = file.display();
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    } else {
        text =
            std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("cannot read `{shown}`: {error}")))?;
    }
    let mut tasks = Vec::new();
    for document in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        match document {
            Ok(Value::Array(several)) => tasks.extend(several),
            Ok(task) => tasks.push(task),
            Err(error) => return Err(Failure::usage(format!("`{shown}` is not JSON: {error}"))),
        }
    }
    if tasks.is_empty() {
        return Err(Failure::usage(format!("`{shown}` holds no task")));
    }
    Ok(tasks)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_task_or_several() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.json");
        for (text, count) in [("{}", 1), ("{}\n{}", 2), ("[{},{}]{}", 3)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().len(), count);
        }
        for wrong in ["", "{} {", "[]"] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(read(&path).unwrap_err().code, crate::cli::exit::USAGE);
        }
    }
}
