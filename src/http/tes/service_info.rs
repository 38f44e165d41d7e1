//! How the service introduces itself, in today's shape and in the one before TES 1.0 (TES contract §16, 3.5).

use super::parameters::Known;
use super::wire::service::{Artifact, OldServiceInfo, Organization, ServiceInfo, ServiceType};
use crate::http::settings::Settings;

/// The version of the API that is reported, whatever else is accepted (TES contract §1).
const API_VERSION: &str = "1.1.0";

/// Today's shape, computed from what is configured (16.4).
pub fn today(settings: &Settings) -> ServiceInfo {
    let service = settings.service.clone();
    ServiceInfo {
        id: service.id,
        name: service.name,
        kind: ServiceType { group: "org.ga4gh", artifact: Artifact::Tes, version: API_VERSION },
        description: service.description,
        organization: Organization { name: service.organization_name, url: service.organization_url },
        contact_url: service.contact_url,
        documentation_url: service.documentation_url,
        created_at: service.created,
        updated_at: service.updated,
        environment: service.environment,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        storage: settings.storage.clone(),
        backend_parameters: Known::new(&settings.backends).keys().map(str::to_owned).collect(),
    }
}

/// The shape before TES 1.0: only these three keys (3.5).
pub fn before_1_0(settings: &Settings) -> OldServiceInfo {
    OldServiceInfo {
        name: settings.service.name.clone(),
        doc: settings.service.description.clone().unwrap_or_default(),
        storage: settings.storage.clone(),
    }
}
