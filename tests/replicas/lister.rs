//! One who goes through all tasks page by page, each page at another server.

use std::collections::BTreeSet;

use reqwest::Client;
use serde_json::Value;
use tokio::time::sleep;

use crate::clients::{World, asked, client};
use crate::random::Random;

/// Goes through all tasks again and again; answers how often it came to the end.
pub async fn list(world: World, mut random: Random) -> usize {
    let client = client();
    let mut times = 0;
    while !world.is_over() {
        let known = world.ledger.ids();
        if let Some(listed) = all(&world, &client, &mut random).await {
            let listed: BTreeSet<String> = listed.into_iter().collect();
            for id in known {
                assert!(listed.contains(&id), "{id} was acknowledged before, and the pages skipped it");
            }
            times += 1;
        }
        sleep(random.between_ms(20, 100)).await;
    }
    times
}

/// All ids, newest first; `None` when the storm ends before.
async fn all(world: &World, client: &Client, random: &mut Random) -> Option<Vec<String>> {
    let size = 20 + random.below(480);
    let filter = ["", "&tag_key=storm&tag_value=1"][usize::try_from(random.below(2)).unwrap()];
    let (mut found, mut token): (Vec<String>, String) = Default::default();
    loop {
        let page = page(world, client, random, &format!("page_size={size}&page_token={token}{filter}")).await?;
        for task in page["tasks"].as_array().unwrap() {
            world.saw(task);
            let id = task["id"].as_str().unwrap();
            assert!(
                found.last().is_none_or(|last| last.as_str() > id),
                "{id} came out of turn, behind {:?}",
                found.last()
            );
            found.push(id.to_owned());
        }
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return Some(found),
        }
    }
}

async fn page(world: &World, client: &Client, random: &mut Random, query: &str) -> Option<Value> {
    while !world.is_over() {
        let url = world.somewhere(random);
        if let Some(page) = asked(client.get(format!("{url}/v1/tasks?{query}"))).await {
            return Some(page);
        }
        sleep(random.between_ms(5, 50)).await;
    }
    None
}
