//! A database for each test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::postgres::Settings;

/// Tests at once: each has some connections, and the server a bound.
static PLACES: Semaphore = Semaphore::const_new(4);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Databases that are dropped when the test ends.
pub(crate) struct Databases {
    made: Mutex<Vec<String>>,
    _place: tokio::sync::OnceCell<SemaphorePermit<'static>>,
}

/// The address of the server, with another database.
pub(crate) fn url(database: &str) -> String {
    let given = std::env::var("TESSERA_TEST_POSTGRES");
    let given =
        given.expect("TESSERA_TEST_POSTGRES holds the URL of a PostgreSQL server whose user may create databases");
    let (server, query) = given.split_once('?').unwrap_or((&given, ""));
    let server = server.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    format!("{server}/{database}?{query}")
}

/// How these tests open a store.
pub(crate) fn settings(url: String) -> Settings {
    Settings { url, ca: None, connections: 4, connect_timeout: Duration::from_secs(10), start_timeout: Duration::ZERO }
}

/// Says something to a database, without a store.
pub(crate) async fn say(database: &str, statements: &str) {
    let address = crate::store::postgres::address::Address::read(&settings(url(database))).unwrap();
    let client = crate::store::postgres::open::connect(&address).await.unwrap();
    client.batch_execute("SET statement_timeout = '60s'").await.unwrap();
    for statement in statements.split(";\n") {
        client.batch_execute(statement).await.unwrap();
    }
}

fn name(number: u32) -> String {
    format!("tessera_test_{}_{number}", std::process::id())
}

impl Databases {
    pub(crate) fn new() -> Self {
        Self { made: Mutex::new(Vec::new()), _place: tokio::sync::OnceCell::new() }
    }

    pub(crate) fn settings(&self, database: &str) -> Settings {
        settings(url(database))
    }

    /// A new database with nothing in it.
    pub(crate) async fn make(&self) -> String {
        self._place.get_or_init(async || PLACES.acquire().await.unwrap()).await;
        let database = name(NEXT.fetch_add(1, Ordering::Relaxed) + 1);
        say("postgres", &format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0")).await;
        self.made.lock().unwrap().push(database.clone());
        database
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        // The test's runtime may be gone, or be the one that unwinds.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for database in made {
                    say("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")).await;
                }
            });
        });
        drop(dropping.join());
    }
}
