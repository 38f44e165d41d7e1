//! What is called otherwise in a store that several servers share: there a backend of one machine is `docker@NAME`, and
//! who has a task is `NAME/run`. Pure.

use std::collections::BTreeSet;

use super::row::{Row, Value};
use super::tables::{EVENTS, LEFTOVERS, TASKS, Table};
use crate::store::StoreError;
use crate::task::{Event, JobRef, TaskState};

/// What becomes of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// They stay.
    Same,
    /// From one server's own store to one that several share.
    ToShared {
        /// The name that the server will have there.
        replica: Option<String>,
        /// Its backends that are its machine's own.
        local: BTreeSet<String>,
        /// Its other backends.
        others: BTreeSet<String>,
    },
    /// From a store that several share to one server's own.
    ToOwn {
        /// The name that the server had there.
        replica: Option<String>,
    },
}

/// Between a backend's name and its machine's.
const AT: char = '@';
/// Between a server's name and its run.
const RUN: char = '/';

impl Names {
    /// Renames what a row names.
    pub(super) fn rename(&self, table: &Table, row: &mut Row) -> Result<(), StoreError> {
        if *self == Self::Same {
            return Ok(());
        }
        if std::ptr::eq(table, &TASKS) {
            // Waiting and ended tasks have nothing outside.
            let active = value(table, row, "stage")?.number().is_some_and(|stage| (1..=3).contains(&stage));
            self.holder(table, row)?;
            self.backend(table, row, active)?;
            self.document::<TaskState>(table, row, "state", job_of_state)?;
        } else if std::ptr::eq(table, &LEFTOVERS) {
            self.holder(table, row)?;
            self.backend(table, row, true)?;
        } else if std::ptr::eq(table, &EVENTS) {
            self.document::<Event>(table, row, "body", job_of_event)?;
        }
        Ok(())
    }

    fn holder(&self, table: &Table, row: &mut Row) -> Result<(), StoreError> {
        let cell = value(table, row, "holder")?;
        let Some(holder) = cell.text() else { return Ok(()) };
        match (self, holder.split_once(RUN)) {
            (Self::ToShared { replica, .. }, None) => {
                let replica = replica.as_ref().ok_or_else(|| {
                    refused(
                        "the tasks of the source were run by a server without a name; say with --replica NAME which \
                         name that server, and with it the data folder that holds their logs, will have",
                    )
                })?;
                *cell = Value::Text(format!("{replica}{RUN}{holder}"));
            }
            (Self::ToOwn { replica: None }, Some((name, _))) => return Err(whose(name)),
            (Self::ToOwn { replica: Some(replica) }, Some((name, run))) if name == replica => {
                *cell = Value::Text(run.to_owned());
            }
            (Self::ToOwn { .. } | Self::ToShared { .. }, _) | (Self::Same, _) => {}
        }
        Ok(())
    }

    fn backend(&self, table: &Table, row: &mut Row, active: bool) -> Result<(), StoreError> {
        let task = row.first().and_then(Value::text).unwrap_or_default().to_owned();
        let cell = value(table, row, "backend")?;
        let Some(backend) = cell.text() else { return Ok(()) };
        if let Some(renamed) = self.renamed(backend, &task, active)? {
            *cell = Value::Text(renamed);
        }
        Ok(())
    }

    /// The new name of a backend, if it has one.
    fn renamed(&self, backend: &str, task: &str, active: bool) -> Result<Option<String>, StoreError> {
        match (self, backend.split_once(AT)) {
            (Self::ToShared { replica, local, others }, None) => {
                if !local.contains(backend) {
                    if active && !others.contains(backend) {
                        return Err(refused(&format!(
                            "task `{task}` has a job on backend `{backend}`, which the configuration does not name, so \
                             it cannot be told whether that is this machine's own; give the server's --config"
                        )));
                    }
                    return Ok(None);
                }
                match replica {
                    Some(replica) => Ok(Some(format!("{backend}{AT}{replica}"))),
                    None if active => Err(refused(&format!(
                        "task `{task}` has a job on backend `{backend}` of this machine; say with --replica NAME which \
                         name its server will have"
                    ))),
                    None => Ok(None),
                }
            }
            (Self::ToOwn { replica: Some(replica) }, Some((backend, name))) if name == replica => {
                Ok(Some(backend.to_owned()))
            }
            (Self::ToOwn { replica: None }, Some((_, name))) if active => Err(whose(name)),
            (Self::ToOwn { .. }, Some((_, name))) if active => Err(refused(&format!(
                "task `{task}` has a job on the machine of server `{name}`, which the server of the target cannot reach; \
                 let it end or cancel it before, or move to `{name}`"
            ))),
            (Self::Same | Self::ToShared { .. } | Self::ToOwn { .. }, _) => Ok(None),
        }
    }

    /// Renames the backend of the job that a document names.
    fn document<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        table: &Table,
        row: &mut Row,
        column: &str,
        job: impl Fn(&mut T) -> Option<&mut JobRef>,
    ) -> Result<(), StoreError> {
        let task = row.first().and_then(Value::text).unwrap_or_default().to_owned();
        let cell = value(table, row, column)?;
        // Nearly all events name no job.
        let Some(text) = cell.text().filter(|text| text.contains("\"job\"")) else { return Ok(()) };
        let unreadable = |error| StoreError::Corrupt(format!("the {column} of task `{task}` cannot be read: {error}"));
        let mut document: T = serde_json::from_str(text).map_err(unreadable)?;
        let Some(job) = job(&mut document) else { return Ok(()) };
        // Whether it may be moved was asked where it is active.
        let Some(renamed) = self.renamed(&job.backend, &task, false)? else { return Ok(()) };
        job.backend = renamed;
        *cell = Value::Text(serde_json::to_string(&document).map_err(unreadable)?);
        Ok(())
    }
}

fn value<'a>(table: &Table, row: &'a mut Row, column: &str) -> Result<&'a mut Value, StoreError> {
    let cell = table.at(column).and_then(|at| row.get_mut(at));
    cell.ok_or_else(|| StoreError::Corrupt(format!("a row of `{}` has no `{column}`", table.name)))
}

fn refused(sentence: &str) -> StoreError {
    StoreError::Unavailable(sentence.to_owned())
}

fn whose(name: &str) -> StoreError {
    refused(&format!(
        "the source was shared by several servers, `{name}` for one; say with --replica NAME with the data folder of which \
         of them the target will be served"
    ))
}

fn job_of_state(state: &mut TaskState) -> Option<&mut JobRef> {
    match state {
        TaskState::Initializing { job, .. }
        | TaskState::Running { job, .. }
        | TaskState::Paused { job, .. }
        | TaskState::Preempted { job, .. } => Some(job),
        TaskState::Canceling { job, .. } => job.as_mut(),
        TaskState::Queued { .. }
        | TaskState::Complete
        | TaskState::ExecutorError
        | TaskState::SystemError
        | TaskState::Canceled => None,
    }
}

fn job_of_event(event: &mut Event) -> Option<&mut JobRef> {
    match event {
        Event::Submitted { job, .. } => Some(job),
        Event::Claimed { .. }
        | Event::Postponed { .. }
        | Event::Advanced { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Preempted { .. }
        | Event::Retried { .. }
        | Event::Ended { .. }
        | Event::CancelRequested { .. }
        | Event::Stopped { .. }
        | Event::Noted { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn to_shared(replica: Option<&str>) -> Names {
        let (local, others) = (["docker".to_owned()].into(), ["cluster".to_owned()].into());
        Names::ToShared { replica: replica.map(str::to_owned), local, others }
    }

    fn to_own(replica: Option<&str>) -> Names {
        Names::ToOwn { replica: replica.map(str::to_owned) }
    }

    fn leftover(names: &Names, backend: &str, holder: &str) -> Result<[String; 2], StoreError> {
        let mut row = vec![text("t"), text(backend), text("h"), text(holder)];
        names.rename(&LEFTOVERS, &mut row)?;
        Ok([1, 3].map(|at| row[at].text().unwrap().to_owned()))
    }

    #[test]
    fn a_machines_own_backend_gets_its_servers_name_and_loses_it_again() {
        let there = leftover(&to_shared(Some("a")), "docker", "01h").unwrap();
        assert_eq!(there, ["docker@a", "a/01h"]);
        assert_eq!(leftover(&to_own(Some("a")), &there[0], &there[1]).unwrap(), ["docker", "01h"]);
        assert_eq!(leftover(&to_shared(Some("a")), "cluster", "01h").unwrap(), ["cluster", "a/01h"]);
        // From a copy of a store that was shared.
        assert_eq!(leftover(&to_shared(None), "docker@b", "b/01h").unwrap(), ["docker@b", "b/01h"]);
        assert_eq!(leftover(&Names::Same, "docker", "01h").unwrap(), ["docker", "01h"]);
    }

    #[test]
    fn a_name_that_is_needed_and_missing_is_asked_for() {
        for (names, backend, holder, sentence) in [
            (to_shared(None), "cluster", "01h", "say with --replica NAME which name"),
            (to_shared(Some("a")), "other", "01h", "the configuration does not name"),
            (to_own(None), "cluster", "a/01h", "say with --replica NAME with the data folder"),
            (to_own(Some("a")), "docker@b", "b/01h", "on the machine of server `b`"),
        ] {
            let Err(StoreError::Unavailable(said)) = leftover(&names, backend, holder) else { panic!("{names:?}") };
            assert!(said.contains(sentence), "{said}");
        }
    }

    #[test]
    fn jobs_in_documents_are_renamed_and_nothing_else_of_them() {
        let names = to_shared(Some("a"));
        let body = r#"{"submitted":{"attempt":1,"job":{"backend":"docker","handle":"h\u0000"}}}"#;
        let mut row = vec![text("t"), Value::Number(1), Value::Number(2), text(body)];
        names.rename(&EVENTS, &mut row).unwrap();
        assert_eq!(row[3].text().unwrap(), body.replace("docker", "docker@a"));
        to_own(Some("a")).rename(&EVENTS, &mut row).unwrap();
        assert_eq!(row[3].text().unwrap(), body);
        let noted = r#"{"noted":{"attempt":1,"text":"\"job\":{\"backend\":\"docker\"}"}}"#;
        let mut row = vec![text("t"), Value::Number(1), Value::Number(2), text(noted)];
        names.rename(&EVENTS, &mut row).unwrap();
        assert_eq!(row[3].text().unwrap(), noted);
    }
}
