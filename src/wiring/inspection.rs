//! The backends without a server.

use std::path::PathBuf;
use std::sync::Arc;

use tessera_contract::{Backend, InstallationId};

use super::{backends, data};
use crate::config::Config;

/// The configured backends without a server, to be looked at. Their jobs are left alone: they get a work folder of
/// their own, next to the real one.
pub struct Inspection {
    backends: Vec<Arc<dyn Backend>>,
    work: PathBuf,
}

impl Inspection {
    /// Opens every configured backend.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let data = data::open(config)?;
        let work = data.join(format!(".inspection-{}", std::process::id()));
        // Made first, so that it is removed whatever goes wrong with the backends.
        let mut inspection = Self { backends: Vec::new(), work };
        let nobody = InstallationId("inspection".to_owned());
        inspection.backends = backends::open(config, &data, &inspection.work, &nobody, None).await?.backends;
        Ok(inspection)
    }

    /// The backends, by name.
    pub fn backends(&self) -> &[Arc<dyn Backend>] {
        &self.backends
    }
}

impl Drop for Inspection {
    fn drop(&mut self) {
        self.backends.clear();
        // What is left of it holds no job and harms nobody.
        let _ = std::fs::remove_dir_all(&self.work);
    }
}
