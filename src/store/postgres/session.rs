//! The writer's connection: its statements, and one transaction sent whole.

use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::address::Address;
use super::claim::{CLAIM, WANTED};
use super::create::{CREATE, KEYS};
use super::fault::Fault;
use super::migrations::LOCKS;
use super::pool::SESSION;
use super::record::{MOVE, SAID, STANDING};

/// How long an answer is waited for. A little more than the server waits for locks: its own word says more.
const PATIENCE: Duration = Duration::from_secs(7);

/// A connection that writes.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    begin: String,
    pub(super) create: Statement,
    pub(super) keys: Statement,
    pub(super) standing: Statement,
    pub(super) said: Statement,
    pub(super) moved: Statement,
    pub(super) wanted: Statement,
    pub(super) claim: Statement,
    notify: Statement,
}

/// A statement with what it is given.
pub(super) type Asked<'a> = (&'a Statement, Vec<&'a (dyn ToSql + Sync)>);

impl Session {
    /// Connects, and prepares what is ever said.
    pub(super) async fn start(address: &Address, lock: i32) -> Result<Self, Fault> {
        in_time(async {
            let (client, connection) = address.config.connect(address.tls.clone()).await?;
            let driver = Driver(Some(tokio::spawn(async move {
                // Its end is seen by whoever asks on it.
                let _ended = connection.await;
            })));
            client.batch_execute(SESSION).await?;
            let all = [CREATE, KEYS, STANDING, SAID, MOVE, WANTED, CLAIM, "SELECT pg_notify($1, $2)"];
            let prepared = join_all(all.map(|sql| client.prepare(sql))).await;
            let mut prepared = prepared.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
            let mut next = || prepared.next().ok_or_else(|| Fault::NotReached("a statement is missing".to_owned()));
            Ok(Self {
                create: next()?,
                keys: next()?,
                standing: next()?,
                said: next()?,
                moved: next()?,
                wanted: next()?,
                claim: next()?,
                notify: next()?,
                driver: driver.kept(),
                client,
                begin: format!("BEGIN; SELECT pg_advisory_xact_lock({LOCKS}, {lock})"),
            })
        })
        .await
    }

    /// Asks something outside of any transaction; several at once go in one round trip.
    pub(super) async fn read(
        &self,
        statement: &Statement,
        given: &[&(dyn ToSql + Sync)],
        is_idle: bool,
    ) -> Result<Vec<Row>, Fault> {
        if is_idle {
            return Ok(Vec::new());
        }
        in_time(async { Ok(self.client.query(statement, given).await?) }).await
    }

    /// One transaction, sent whole: nothing is waited for while the lock is held. If a part fails, the rest does nothing
    /// and its end undoes all.
    pub(super) async fn write(
        &self,
        asked: &[Asked<'_>],
        notify: Option<(&str, String)>,
    ) -> Result<Vec<Vec<Row>>, Fault> {
        let told: Option<[&(dyn ToSql + Sync); 2]> =
            notify.as_ref().map(|(channel, said)| [channel as &(dyn ToSql + Sync), said as &(dyn ToSql + Sync)]);
        in_time(async {
            // They are sent in the order in which they are first polled.
            let begin = self.client.batch_execute(&self.begin);
            let work = join_all(asked.iter().map(|(statement, given)| self.client.query(*statement, given)));
            let notify = async {
                match &told {
                    Some(told) => self.client.query(&self.notify, told).await.map(drop),
                    None => Ok(()),
                }
            };
            let end = self.client.batch_execute("COMMIT");
            let (begun, answers, notified, ended) = futures::join!(begin, work, notify, end);
            begun?;
            let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
            notified?;
            ended?;
            Ok(answers)
        })
        .await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A connection that does not answer is not waited for.
        self.driver.abort();
    }
}

/// Ends with its owner, unless it is kept.
struct Driver(Option<JoinHandle<()>>);

impl Driver {
    fn kept(mut self) -> JoinHandle<()> {
        self.0.take().unwrap_or_else(|| tokio::spawn(async {}))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(driver) = &self.0 {
            driver.abort();
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::NotReached("it did not answer in time; see that it runs, and what keeps it busy".to_owned());
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| late())?
}
