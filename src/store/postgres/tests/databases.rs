//! A schema for each test: made and dropped in a moment, where a database takes the server a second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::postgres::Settings;

/// Tests at once: each has some connections, and the server a bound.
static PLACES: Semaphore = Semaphore::const_new(4);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Schemas that are dropped when the test ends.
pub(crate) struct Databases {
    made: Mutex<Vec<String>>,
    _place: tokio::sync::OnceCell<SemaphorePermit<'static>>,
}

/// The address of the server, in a schema of its database; its sessions have the schema's name.
pub(crate) fn url(schema: &str) -> String {
    let given = given();
    let joint = if given.contains('?') { '&' } else { '?' };
    format!("{given}{joint}options=-csearch_path%3D{schema}&application_name={schema}")
}

fn given() -> String {
    let given = std::env::var("TESSERA_TEST_POSTGRES");
    given.expect("TESSERA_TEST_POSTGRES holds the URL of a PostgreSQL server whose user may create databases")
}

/// How these tests open a store.
pub(crate) fn settings(url: String) -> Settings {
    Settings { url, ca: None, connections: 4, connect_timeout: Duration::from_secs(10), start_timeout: Duration::ZERO }
}

/// Says something in a schema, without a store.
pub(crate) async fn say(schema: &str, statements: &str) {
    say_at(url(schema), statements).await;
}

/// Says something to the server, in nobody's schema.
pub(crate) async fn tell(statements: &str) {
    say_at(given(), statements).await;
}

async fn say_at(url: String, statements: &str) {
    let address = crate::store::postgres::address::Address::read(&settings(url)).unwrap();
    let client = crate::store::postgres::open::connect(&address).await.unwrap();
    client.batch_execute("SET statement_timeout = '60s'").await.unwrap();
    for statement in statements.split(";\n") {
        client.batch_execute(statement).await.unwrap();
    }
}

/// Ends all sessions in a schema.
pub(crate) fn end(schema: &str) -> String {
    format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{schema}'")
}

fn name(number: u32) -> String {
    format!("tessera_test_{}_{number}", std::process::id())
}

impl Databases {
    pub(crate) fn new() -> Self {
        Self { made: Mutex::new(Vec::new()), _place: tokio::sync::OnceCell::new() }
    }

    pub(crate) fn settings(&self, schema: &str) -> Settings {
        settings(url(schema))
    }

    /// A new one with nothing in it.
    pub(crate) async fn make(&self) -> String {
        self._place.get_or_init(async || PLACES.acquire().await.unwrap()).await;
        let schema = name(NEXT.fetch_add(1, Ordering::Relaxed) + 1);
        tell(&format!("CREATE SCHEMA {schema}")).await;
        self.made.lock().unwrap().push(schema.clone());
        schema
    }

    /// The one that was made last.
    pub(crate) fn last(&self) -> String {
        self.made.lock().unwrap().last().unwrap().clone()
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        // The test's runtime may be gone, or be the one that unwinds.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for schema in made {
                    // Whoever still works in it would be in the way.
                    tell(&end(&schema)).await;
                    tell(&format!("DROP SCHEMA {schema} CASCADE")).await;
                }
            });
        });
        drop(dropping.join());
    }
}
