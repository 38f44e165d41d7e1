//! The storage suite against Azure Blob.

use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::storages::Storages;

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::rig::{Azure, Rig};

/// Whoever has this key, at the rig's endpoint.
fn storages(azure: &Azure, key: &str) -> Storages {
    let rule = Rule {
        prefix: "azureblob://".to_owned(),
        endpoint: Some(azure.endpoint.clone()),
        account: Some(azure.account.clone()),
        account_key: Some(Secret::new(key)),
        ..Rule::default()
    };
    Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT)
}

#[tokio::test]
async fn azure_blob_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let azure = &rig.azure;
    conformance::all(&Ground {
        storages: storages(azure, &azure.key),
        base: format!("azureblob://{}/{}/conformance-{}", azure.account, azure.container, std::process::id()),
        strangers: Some(storages(azure, "bm90LXRoZS1rZXk=")),
        nowhere: Some(format!("azureblob://{}/there-is-no-such-container/x", azure.account)),
        secrets: vec![azure.key.clone(), "bm90LXRoZS1rZXk=".to_owned()],
        features: Features { directories: false, slashes: true, backslashes: false, many: 5050 },
    })
    .await;
}
