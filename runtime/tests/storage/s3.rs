//! The storage suite against S3.

use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::storages::Storages;

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::rig::{Rig, S3};

/// Whoever has this secret, at the rig's endpoint.
fn storages(s3: &S3, secret: &str) -> Storages {
    let rule = Rule {
        prefix: "s3://".to_owned(),
        endpoint: Some(s3.endpoint.clone()),
        region: Some(s3.region.clone()),
        access_key_id: Some(s3.access_key_id.clone()),
        secret_access_key: Some(Secret::new(secret)),
        ..Rule::default()
    };
    Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT)
}

#[tokio::test]
async fn s3_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let s3 = &rig.s3;
    conformance::all(&Ground {
        storages: storages(s3, &s3.secret_access_key),
        base: format!("s3://{}/conformance-{}", s3.bucket, std::process::id()),
        strangers: Some(storages(s3, "not-the-secret")),
        nowhere: Some("s3://there-is-no-such-bucket/x".to_owned()),
        secrets: vec![s3.access_key_id.clone() + ":", s3.secret_access_key.clone(), "not-the-secret".to_owned()],
        // Its keys are paths of a file system.
        features: Features { directories: false, slashes: false, backslashes: true, many: 1500 },
    })
    .await;
}
