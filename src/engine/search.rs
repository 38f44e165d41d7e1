//! Finding jobs by their ids in all that a backend holds.

use std::collections::HashMap;

use tessera_contract::{BackendError, Handle, JobId};

use super::assembly::Engine;
use super::site::Site;

/// Pages of an inventory that are read in one search at most; more than any backend holds.
const PAGES: usize = 10_000;

/// The handles of those jobs that the backend holds. Whoever is not found is not there; an error says nothing.
pub async fn find(engine: &Engine, site: &Site, wanted: &[JobId]) -> Result<HashMap<JobId, Handle>, BackendError> {
    let mut found = HashMap::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let call = site.backend.inventory(after.as_deref());
        let page = site.call(&engine.clock, &engine.settings, "inventory", call).await?;
        found.extend(page.jobs.into_iter().filter(|one| wanted.contains(&one.job)).map(|one| (one.job, one.handle)));
        match page.next {
            Some(next) if found.len() < wanted.len() => after = Some(next),
            Some(_) | None => return Ok(found),
        }
    }
    Err(BackendError::Unavailable(format!("the inventory of backend `{}` has no end", site.name())))
}
