//! A database of one test, on the PostgreSQL that `TESSERA_TEST_POSTGRES` names.

use tokio_postgres::{Client, NoTls};
use url::Url;

/// A database that nobody else uses.
pub struct Database {
    server: Url,
    pub name: String,
}

impl Database {
    /// Makes one; `None`, and a line that says so, where no server is named.
    pub async fn create(of: &str) -> Option<Self> {
        let Some(server) = std::env::var("TESSERA_TEST_POSTGRES").ok().filter(|server| !server.is_empty()) else {
            assert!(
                std::env::var_os("TESSERA_REQUIRE_POSTGRES").is_none(),
                "TESSERA_TEST_POSTGRES names no server, and TESSERA_REQUIRE_POSTGRES demands one"
            );
            println!(
                "not run: it needs PostgreSQL (cargo xtask test PostgreSQL starts one and sets TESSERA_TEST_POSTGRES)"
            );
            return None;
        };
        let name = format!("{of}_{}", ulid::Ulid::generate().to_string().to_lowercase());
        let database = Self { server: server.parse().unwrap(), name };
        database.on_server(&format!("CREATE DATABASE {}", database.name)).await;
        Some(database)
    }

    /// Where the server is.
    pub fn address(&self) -> (String, u16) {
        (self.server.host_str().unwrap().to_owned(), self.server.port().unwrap_or(5432))
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }

    /// The same through a port of this machine.
    pub fn through(&self, port: u16) -> String {
        let mut url = self.server.clone();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        url.set_path(&self.name);
        url.into()
    }

    /// Asks for one number.
    pub async fn count(&self, sql: &str) -> i64 {
        connect(&self.url()).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Asks for one text.
    pub async fn text(&self, sql: &str) -> String {
        connect(&self.url()).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Removes it. What a failed test leaves is there to be looked at.
    pub async fn remove(self) {
        self.on_server(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    async fn on_server(&self, sql: &str) {
        connect(self.server.as_str()).await.batch_execute(sql).await.unwrap();
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
