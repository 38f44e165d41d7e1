//! Where tasks are remembered, as the configuration says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use crate::config;
use crate::store::Store;
use crate::store::postgres::{Postgres, Settings};
use crate::store::sqlite::Sqlite;

/// Opens the store: a database where one is named, or else the file.
pub(super) async fn open(config: &config::Store, data: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let Some(url) = config.database().map_err(|sentence| anyhow!("store.url: {sentence}"))? else {
        return Ok(Arc::new(Sqlite::open(config.below(data))?));
    };
    let settings = Settings {
        url: url.expose().to_owned(),
        ca: config.ca_file.clone(),
        connections: config.connections as usize,
        connect_timeout: Duration::from_millis(config.connect_timeout_ms),
        start_timeout: Duration::from_millis(config.start_timeout_ms),
    };
    Ok(Arc::new(Postgres::open(&settings).await?))
}
