//! States of single tasks, read together.
//!
//! Clients that wait for their tasks ask for one state each, often. What is asked while a question is under way goes
//! into the next one: a statement and a way over the network are shared by all who wait. Alone, nobody waits for
//! anybody.

use tokio::sync::{mpsc, oneshot};

use super::columns;
use super::fault::Fault;
use super::pool::Pool;
use super::tasks::one_summary;
use crate::store::{StoreError, Summary};
use crate::task::{Owner, TaskId};

/// Tasks' states, each if it is of the owner asked with it. The owner is no condition of an index: (owner, phase, id) is
/// not to be walked.
pub(super) const STATES: &str = "
    SELECT asked.n, tasks.id, tasks.created, tasks.phase
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (id, owner, n)
    JOIN tasks ON tasks.id = asked.id AND tasks.owner IS NOT DISTINCT FROM asked.owner";

/// States asked for in one question at most.
const TOGETHER: usize = 256;

type Answer = Result<Option<Summary>, StoreError>;

/// Sends questions to those who ask.
#[derive(Debug)]
pub(super) struct States {
    inbox: mpsc::Sender<One>,
}

/// Who waits for a state.
struct One {
    id: TaskId,
    owner: String,
    reply: oneshot::Sender<Answer>,
}

impl States {
    /// Starts the task that asks.
    pub(super) fn start(pool: Pool) -> Self {
        let (inbox, asked) = mpsc::channel(TOGETHER);
        tokio::spawn(run(pool, asked));
        Self { inbox }
    }

    /// One task's state, if it is this owner's.
    pub(super) async fn one(&self, owner: &Owner, id: &TaskId) -> Answer {
        let stopped = || StoreError::Unavailable("the reader of states has stopped; restart the server".to_owned());
        let (reply, answer) = oneshot::channel();
        let one = One { id: id.clone(), owner: columns::text(&owner.0), reply };
        self.inbox.send(one).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

async fn run(pool: Pool, mut asked: mpsc::Receiver<One>) {
    let mut all = Vec::with_capacity(TOGETHER);
    while asked.recv_many(&mut all, TOGETHER).await > 0 {
        // Who has gone meanwhile needs no answer.
        all.retain(|one| !one.reply.is_closed());
        let answers = read(&pool, &all).await;
        for (at, one) in all.drain(..).enumerate() {
            let answer = match &answers {
                Ok(answers) => answers.get(at).cloned().unwrap_or(Ok(None)),
                Err(error) => Err(error.clone()),
            };
            let _gone = one.reply.send(answer);
        }
    }
}

/// In the order asked. A row that cannot be read is the fault of nobody else's.
async fn read(pool: &Pool, all: &[One]) -> Result<Vec<Answer>, StoreError> {
    let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
    let owners: Vec<&str> = all.iter().map(|one| one.owner.as_str()).collect();
    let told = |fault: Fault| fault.told(pool.place());
    let mut answers = vec![Ok(None); all.len()];
    if ids.is_empty() {
        return Ok(answers);
    }
    for row in &pool.rows(STATES, &[&ids, &owners]).await.map_err(told)? {
        let n: i64 = row.try_get(0).map_err(|error| told(error.into()))?;
        if let Some(answer) = usize::try_from(n - 1).ok().and_then(|at| answers.get_mut(at)) {
            *answer = one_summary(row, 1).map(Some).map_err(told);
        }
    }
    Ok(answers)
}
