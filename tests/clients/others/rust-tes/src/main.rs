//! The Rust clients against a real server: `rust-tes STORY URL FOLDER`.
//!
//! URL ends in `/`; FOLDER is one that the server may use. Prints the ids of the tasks; fails with what was wrong.

mod direct;
mod engine;

use std::env;

use anyhow::{Context, Result, bail};
use url::Url;

/// Where a story takes place.
struct Place {
    server: Url,
    folder: String,
}

impl Place {
    fn url(&self, name: &str) -> String {
        format!("file://{}/{name}", self.folder)
    }

    fn link(&self, name: &str) -> Result<Url> {
        Ok(self.url(name).parse()?)
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = format!("{}/{name}", self.folder);
        std::fs::read_to_string(&path).with_context(|| format!("{path} was not delivered"))
    }
}

const BUSYBOX: &str = "tessera-test/busybox:1";

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = env::args().skip(1);
    let mut next = |what: &str| words.next().with_context(|| format!("{what} is missing"));
    let story = next("the story")?;
    let place = Place { server: next("the server's URL")?.parse()?, folder: next("the folder")? };
    match story.as_str() {
        "tes-files" => direct::files(&place).await,
        "tes-failure" => direct::failure(&place).await,
        "tes-cancel" => direct::cancel(&place).await,
        "tes-list" => direct::list(&place).await,
        "crankshaft-files" => engine::files(&place).await,
        "crankshaft-failure" => engine::failure(&place).await,
        "crankshaft-fault" => engine::fault(&place).await,
        "crankshaft-cancel" => engine::cancel(&place).await,
        "crankshaft-many" => engine::many(&place).await,
        other => bail!("there is no story `{other}`"),
    }
}
