//! Two servers that are given one name.

use crate::database::Database;
use crate::site::{Ground, Replica};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_with_one_name_the_second_does_not_start_before_the_first_is_dead() {
    let Some(database) = Database::create("naming").await else { return };
    let folder = Ground::new();
    let backends = format!("[backends.fake]\nkind = \"scripted\"\nfolder = {:?}\n", folder.path().join("jobs"));
    let mut first = Replica::start(folder.path(), "a", &database, &backends).await;
    let mut second = Replica::placed(&folder.path().join("twin"), "a", &database, &backends).await;
    first.is_ready().await;

    assert_ne!(second.refuses_to_start().await, Some(0));
    let said = second.site.last_log_lines();
    assert!(said.contains("runs under the name `a`") && said.contains(&first.url()), "{said}");
    first.is_ready().await;

    // Nothing was said for it: its lease ends by itself.
    first.kill();
    second.start_again().await;
    second.is_ready().await;
    // The name is another's now.
    assert_ne!(first.refuses_to_start().await, Some(0));
    let said = first.site.last_log_lines();
    assert!(said.contains("runs under the name `a`") && said.contains(&second.url()), "{said}");
    second.is_ready().await;
    second.terminate().await;
    database.remove().await;
}
