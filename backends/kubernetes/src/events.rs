//! Why Jobs have no Pod: it stands in events of theirs, and nowhere else.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tracing::warn;

use crate::site::Site;
use crate::status::Refusal;

/// How often it is asked.
const ASKS: Duration = Duration::from_secs(5);
/// How often, where we may not ask.
const ASKS_IN_VAIN: Duration = Duration::from_secs(300);
/// Events in one answer, and answers that are asked for in a row.
const PAGE: u32 = 500;
const PAGES: usize = 4;

/// A walk through the events. They outlive their Jobs by an hour, so that there may be many: each asking goes on where
/// the one before ended.
#[derive(Debug, Default)]
pub(crate) struct Events {
    next: Option<String>,
    /// What was found on this walk, and when the cluster said it.
    found: HashMap<String, (Timestamp, Refusal)>,
}

impl Events {
    /// Asks; answers when to ask again. Without the right to read events nobody knows why.
    pub(crate) async fn ask(&mut self, site: &Site) -> Duration {
        let events: Api<Event> = Api::namespaced(site.cluster.client.clone(), &site.cluster.namespace);
        for _ in 0..PAGES {
            let mut params = ListParams::default().fields("involvedObject.kind=Job,reason=FailedCreate").limit(PAGE);
            if let Some(token) = self.next.take() {
                params = params.continue_token(&token);
            }
            let page = match site.cluster.call("list", "events", events.list(&params)).await {
                Ok(page) => page,
                Err(trouble) => {
                    // A walk that was interrupted for too long begins anew.
                    self.found.clear();
                    let forbidden = matches!(trouble.code, Some(401 | 403));
                    if forbidden {
                        warn!(backend = site.setting.name, error = %trouble.error, "why jobs have no pod cannot be told");
                    }
                    return if forbidden { ASKS_IN_VAIN } else { ASKS };
                }
            };
            page.items.iter().for_each(|event| self.add(event));
            self.next = page.metadata.continue_.filter(|token| !token.is_empty());
            if self.next.is_none() {
                break;
            }
        }
        self.tell(site);
        ASKS
    }

    fn add(&mut self, event: &Event) {
        let Some(name) = event.involved_object.name.clone() else { return };
        let Some(refusal) = Refusal::of(event, Timestamp::now()) else { return };
        let at = event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).map(|time| time.0);
        let at = at.unwrap_or(Timestamp::MIN);
        if self.found.get(&name).is_none_or(|(known, _)| *known <= at) {
            self.found.insert(name, (at, refusal));
        }
    }

    /// What was found is told at once; what was not found on a whole walk is told no more.
    fn tell(&mut self, site: &Site) {
        let mut refusals = site.refusals();
        let mut changed = false;
        if self.next.is_none() {
            let before = refusals.len();
            refusals.retain(|name, _| self.found.contains_key(name));
            changed = refusals.len() != before;
        }
        for (name, (_, found)) in &self.found {
            match refusals.get_mut(name) {
                Some(known) if known.message == found.message => {}
                // Refused it has been since we know of it, whatever is said about it by now.
                Some(known) => {
                    known.message.clone_from(&found.message);
                    changed = true;
                }
                None => {
                    refusals.insert(name.clone(), found.clone());
                    changed = true;
                }
            }
        }
        drop(refusals);
        if self.next.is_none() {
            self.found.clear();
        }
        if changed {
            site.mirror.ring();
        }
    }
}
