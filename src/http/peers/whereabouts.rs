//! Who has a task's log.

use super::forward::Peers;
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::logs::Selection;
use crate::logs::picture::index;
use crate::logs::plan::{Outline, outlines};
use crate::roster::machine;
use crate::task::Task;

/// Where what is selected of a log is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On any server: the store holds all of it, or there is but one.
    Anywhere,
    /// On this server.
    Here,
    /// On the server of this name.
    With(String),
    /// Nobody has taken the task yet.
    Nobody,
}

/// Where what is selected of a task's log is to be read.
pub async fn of_log(doors: &Doors, task: &Task, selection: Selection) -> Result<Place, ApiError> {
    let peers = &doors.peers;
    if peers.are_none() {
        return Ok(Place::Anywhere);
    }
    let outlines = outlines(task, |_| false);
    let selected = chosen(&outlines, selection);
    let is_told = selected.clone().all(|outline| needs_nothing(outline, selection));
    let ended = task.state.phase().is_terminal();
    if is_told && (ended || selection.attempt.is_some() && selected.clone().next().is_some()) {
        return Ok(Place::Anywhere);
    }
    if let Some(name) = on_machine(&outlines, selection) {
        return Ok(named(peers, name));
    }
    Ok(match doors.store.keeper(&task.id).await? {
        Some(holder) => named(peers, holder.replica()),
        None if ended => Place::Anywhere,
        None => Place::Nobody,
    })
}

/// Whether what is to be read of a log was printed on the machine of this server, which no other one can ask.
pub fn is_on_machine(server: &str, task: &Task, selection: Selection) -> bool {
    on_machine(&outlines(task, |_| false), selection) == Some(server)
}

/// The server on whose machine the newest selected attempt ran of which something is to be read.
fn on_machine(outlines: &[Outline], selection: Selection) -> Option<&str> {
    chosen(outlines, selection).rfind(|outline| !needs_nothing(outline, selection)).and_then(host)
}

fn chosen(outlines: &[Outline], selection: Selection) -> impl DoubleEndedIterator<Item = &Outline> + Clone {
    outlines.iter().filter(move |outline| selection.attempt.is_none_or(|number| number == outline.number))
}

fn named(peers: &Peers, name: &str) -> Place {
    // The same server before a restart kept it in the same folder.
    if name == peers.me() { Place::Here } else { Place::With(name.to_owned()) }
}

/// Whether nothing is to be read of it but what the task's history holds.
fn needs_nothing(outline: &Outline, selection: Selection) -> bool {
    let executors = (0..).zip(&outline.executors);
    let mut selected = executors.filter(|(number, _)| selection.executor.is_none_or(|wanted| wanted == *number));
    outline.over
        && selected
            .all(|(_, known)| known.never || selection.streams().all(|stream| known.whole[index(stream)].is_some()))
}

/// The server whose machine the attempt ran on, where its backend is a machine's own: `docker@a`.
fn host(outline: &Outline) -> Option<&str> {
    machine(&outline.job.as_ref()?.backend)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use tessera_contract::Stream;

    use super::*;
    use crate::logs::plan::Known;
    use crate::task::JobRef;

    fn outline(over: bool, executors: Vec<Known>) -> Outline {
        Outline { number: 1, job: None, over, executors }
    }

    fn known(stdout: bool, stderr: bool) -> Known {
        let text = |is: bool| is.then(|| Bytes::from_static(b"text"));
        Known { never: false, whole: [text(stdout), text(stderr)] }
    }

    #[test]
    fn only_what_the_history_holds_whole_needs_no_server() {
        let never = Known { never: true, ..Known::default() };
        let all = Selection::default();
        assert!(needs_nothing(&outline(true, vec![known(true, true), never.clone()]), all));
        assert!(!needs_nothing(&outline(false, vec![known(true, true), never.clone()]), all), "it may print more");
        let half = outline(true, vec![known(true, false), known(false, false)]);
        assert!(!needs_nothing(&half, all));
        let of = |executor, stream| Selection { executor: Some(executor), stream: Some(stream), ..all };
        assert!(needs_nothing(&half, of(0, Stream::Stdout)));
        assert!(!needs_nothing(&half, of(0, Stream::Stderr)));
        assert!(!needs_nothing(&half, of(1, Stream::Stdout)));
    }

    #[test]
    fn a_backend_of_one_machine_says_which() {
        let at = |backend: &str| {
            let job = JobRef { backend: backend.to_owned(), handle: "h".to_owned() };
            host(&Outline { job: Some(job), ..outline(true, vec![]) }).map(str::to_owned)
        };
        assert_eq!(at("docker@a"), Some("a".to_owned()));
        assert_eq!(at("kubernetes"), None);
        assert_eq!(host(&outline(true, vec![])), None);
    }
}
