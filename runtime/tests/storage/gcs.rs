//! The storage suite against Google Cloud Storage.
//!
//! The emulator takes the question how far an upload came for its end, so that resuming is proved where it is written
//! (`gcs/session.rs`), against a server of the test's own.

use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::storages::Storages;

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::rig::Rig;

#[tokio::test]
async fn google_cloud_storage_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let gcs = &rig.gcs;
    let rule = Rule {
        prefix: "gs://".to_owned(),
        endpoint: Some(gcs.endpoint.clone()),
        anonymous: true,
        ..Rule::default()
    };
    conformance::all(&Ground {
        storages: Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT),
        base: format!("gs://{}/conformance-{}", gcs.bucket, std::process::id()),
        strangers: None,
        nowhere: Some("gs://there-is-no-such-bucket/x".to_owned()),
        secrets: Vec::new(),
        features: Features { directories: false, slashes: true, backslashes: true, many: 1500 },
    })
    .await;
}
