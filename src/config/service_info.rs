//! `[service_info]`: how the server introduces itself (TES contract §16).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[service_info]`. An empty text leaves an optional field out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceInfo {
    /// A unique id, by custom a reversed domain name. Default `org.tessera`.
    pub id: String,
    /// A name for people. Default `Tessera`.
    pub name: String,
    /// A sentence for people. Default empty.
    pub description: String,
    /// Who runs it. Default `Tessera`.
    pub organization_name: String,
    /// Their web site, an absolute URL. Default `http://localhost`.
    pub organization_url: String,
    /// Where to ask: a URL or `mailto:`. Default empty.
    pub contact_url: String,
    /// Where to read on: a URL. Default empty.
    pub documentation_url: String,
    /// Such as `production` or `test`. Default empty.
    pub environment: String,
    /// When the service was first offered, RFC 3339. Default empty.
    pub created_at: String,
    /// When it was last changed, RFC 3339. Default empty.
    pub updated_at: String,
}

impl Default for ServiceInfo {
    fn default() -> Self {
        Self {
            id: "org.tessera".to_owned(),
            name: "Tessera".to_owned(),
            description: String::new(),
            organization_name: "Tessera".to_owned(),
            organization_url: "http://localhost".to_owned(),
            contact_url: String::new(),
            documentation_url: String::new(),
            environment: String::new(),
            created_at: String::new(),
            updated_at: String::new(),
        }
    }
}

impl ServiceInfo {
    pub(super) fn check(&self, problems: &mut Problems) {
        for (key, text) in [("id", &self.id), ("name", &self.name), ("organization_name", &self.organization_name)] {
            if text.is_empty() {
                problems.add(&format!("service_info.{key}"), "empty; GA4GH requires it");
            }
        }
        if self.organization_url.is_empty() {
            problems.add("service_info.organization_url", "empty; GA4GH requires an absolute URL");
        }
        let urls = [
            ("organization_url", &self.organization_url),
            ("contact_url", &self.contact_url),
            ("documentation_url", &self.documentation_url),
        ];
        for (key, text) in urls {
            if !text.is_empty() && url::Url::parse(text).is_err() {
                problems.add(&format!("service_info.{key}"), format!("`{text}` is not an absolute URL"));
            }
        }
        for (key, text) in [("created_at", &self.created_at), ("updated_at", &self.updated_at)] {
            if !text.is_empty() && text.parse::<Timestamp>().is_err() {
                problems.add(
                    &format!("service_info.{key}"),
                    format!("`{text}` is no RFC 3339 time such as `2026-01-31T12:00:00Z`"),
                );
            }
        }
    }
}
