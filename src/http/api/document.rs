//! What the document of our own API says beside its routes.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// The head of the document; the routes add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tessera: our own API",
        version = "1",
        description = "What GA4GH TES has no words for: why a task waits, what it prints while it runs, and what \
                       happens, as it happens.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security((), ("bearer" = []), ("basic" = [])),
    modifiers(&Logins)
)]
pub struct Head;

struct Logins;

impl Modify for Logins {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
        }
    }
}
