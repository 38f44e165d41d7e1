//! What only this backend does, told on Docker.

use tessera_contract::Backend;
use tessera_runtime::report::Outcome;

use crate::ground::{Ground, Place, job};

#[tokio::test]
async fn true_is_complete() {
    let Some(place) = Place::docker().await else { return };
    let ground = Ground::new(&place);
    let backend = ground.open().await;
    let job = job(&["echo hello; echo oops >&2"]);
    let handle = backend.submit(&job).await.unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    eprintln!("{report:#?}");
    backend.release(&handle).await.unwrap();
    ground.gone(&handle).await;
}
