//! How the service introduces itself.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// How the service introduces itself, after GA4GH service info 1.0.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = tesServiceInfo)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInfo {
    /// A unique id.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// What kind of service this is.
    #[serde(rename = "type")]
    pub kind: ServiceType,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub description: Option<String>,
    /// Who runs it.
    pub organization: Organization,
    /// Where to ask: a URL or `mailto:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub contact_url: Option<String>,
    /// Where to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub documentation_url: Option<String>,
    /// When it was first offered, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// When it was last changed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<Timestamp>,
    /// Such as `production` or `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub environment: Option<String>,
    /// The version of this server.
    pub version: String,
    /// URL prefixes that tasks may read from and write to.
    #[schema(required = false)]
    pub storage: Vec<String>,
    /// Keys of `backend_parameters` that a configured backend honours.
    #[serde(rename = "tesResources_backend_parameters")]
    #[schema(required = false)]
    pub backend_parameters: Vec<String>,
}

/// What kind of service this is: the API, and the API's version.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = tesServiceType)]
pub struct ServiceType {
    /// Always `org.ga4gh`.
    pub group: &'static str,
    /// Always `tes`.
    pub artifact: Artifact,
    /// The version of the API, not of this server.
    pub version: &'static str,
}

/// The name of the API.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Artifact {
    /// The Task Execution Service.
    Tes,
}

/// Who runs the service.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Organization {
    /// Their name.
    pub name: String,
    /// Their web site.
    pub url: String,
}

/// How the service introduced itself before TES 1.0; clients of that age refuse any other key (3.5).
#[derive(Debug, Clone, Serialize)]
pub struct OldServiceInfo {
    /// A name for people.
    pub name: String,
    /// A sentence for people.
    pub doc: String,
    /// URL prefixes that tasks may read from and write to.
    pub storage: Vec<String>,
}
