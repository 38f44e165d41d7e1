//! How a file becomes a blob.

use std::hash::{BuildHasher, Hasher, RandomState};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use reqwest::Method;

use super::address::in_query;
use super::container::Container;
use crate::storage::checksum::Algorithm;
use crate::storage::source::Source;
use crate::storage::trouble::{Trouble, Why};

const MIB: u64 = 1024 * 1024;
/// Up to here a file goes in one request.
const AT_ONCE: u64 = 16 * MIB;
/// Bytes of a block, unless there were too many.
const BLOCK: u64 = 8 * MIB;
/// More blocks than this cannot become a blob.
const BLOCKS: u64 = 50_000;
/// Blocks on their way at the same time.
const ABREAST: usize = 4;
/// How often it is begun anew when the blocks are gone.
const BEGINNINGS: usize = 3;

/// A stretch of the file on its way.
struct Block {
    id: String,
    from: u64,
    length: u64,
    md5: String,
}

impl Container {
    /// Puts a file in the place of a blob.
    pub(super) async fn upload(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        let url = self.address.blob(key)?;
        if source.size() <= AT_ONCE {
            let md5 = self.md5(key, source, 0, source.size()).await?;
            return self.patience.retry(|| self.put(key, &url, source, &md5)).await;
        }
        let mut begun = 1;
        loop {
            match self.in_blocks(key, &url, source).await {
                // Somebody else finished the same blob meanwhile, and that took our blocks away.
                Err(trouble) if trouble.why == Why::Changed && begun < BEGINNINGS => begun += 1,
                ended => return ended,
            }
        }
    }

    async fn put(&self, key: &str, url: &str, source: &Source, md5: &str) -> Result<(), Trouble> {
        let head = Self::head(Method::PUT, url).header("x-ms-blob-type", "BlockBlob").header("content-md5", md5);
        self.deliver(key, head, source.size(), |pulse| pulse.body(source, 0, source.size())).await
    }

    async fn in_blocks(&self, key: &str, url: &str, source: &Source) -> Result<(), Trouble> {
        let size = source.size();
        let each = block_size(size);
        // Blocks of other writers of the same blob are not to be taken for ours.
        let writer = RandomState::new().build_hasher().finish();
        let id = |n: u64| BASE64_STANDARD.encode(format!("{writer:016x}{n:08}"));
        let count = size.div_ceil(each);
        let mut sending = FuturesUnordered::new();
        for n in 0..count {
            if sending.len() == ABREAST {
                sending.try_next().await?;
            }
            // One after the other, so that the file's digest needs no reading of its own.
            let (from, length) = (n * each, each.min(size - n * each));
            let block = Block { id: id(n), from, length, md5: self.md5(key, source, from, length).await? };
            sending.push(self.put_patiently(key, url, source, block));
        }
        while sending.try_next().await?.is_some() {}
        let latest: String = (0..count).map(|n| format!("<Latest>{}</Latest>", id(n))).collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{latest}</BlockList>");
        // Blocks that are gone do not come back: that is no matter of patience.
        let ended = self.patience.retry(|| async {
            match self.put_list(key, url, &list).await {
                Err(trouble) if trouble.why == Why::Changed => Ok(Err(trouble)),
                ended => ended.map(Ok),
            }
        });
        ended.await?
    }

    async fn put_patiently(&self, key: &str, url: &str, source: &Source, block: Block) -> Result<(), Trouble> {
        self.patience.retry(|| self.put_block(key, url, source, &block)).await
    }

    async fn put_block(&self, key: &str, url: &str, source: &Source, block: &Block) -> Result<(), Trouble> {
        let url = format!("{url}?comp=block&blockid={}", in_query(&block.id));
        let head = Self::head(Method::PUT, &url).header("content-md5", block.md5.as_str());
        self.deliver(key, head, block.length, |pulse| pulse.body(source, block.from, block.length)).await
    }

    async fn put_list(&self, key: &str, url: &str, list: &str) -> Result<(), Trouble> {
        let head = Self::head(Method::PUT, &format!("{url}?comp=blocklist"));
        let head = head.header("x-ms-blob-content-type", "application/octet-stream");
        self.deliver(key, head, list.len() as u64, |pulse| pulse.document(list.to_owned())).await
    }

    async fn md5(&self, key: &str, source: &Source, from: u64, length: u64) -> Result<String, Trouble> {
        let sum = source.checksum(Algorithm::Md5, from, length).await;
        sum.map(|sum| sum.base64()).map_err(|trouble| self.about(trouble, "deliver", key))
    }
}

/// Bytes of each block but the last.
fn block_size(size: u64) -> u64 {
    BLOCK.max(size.div_ceil(BLOCKS).next_multiple_of(MIB))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::report::FaultClass;
    use crate::storage::azblob::container::tests::container;
    use crate::storage::stand_in::{Answer, StandIn};
    use crate::storage::store::Store;

    fn source(size: u64) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; usize::try_from(size).unwrap()]).unwrap();
        Source::new(file).unwrap()
    }

    fn refusal(status: u16, code: &str) -> Answer {
        let body = format!("<Error><Code>{code}</Code><Message>No.</Message></Error>");
        Answer::body(status, body).header("x-ms-error-code", code)
    }

    #[test]
    fn never_too_many_blocks() {
        for size in [AT_ONCE + 1, 400 * 1024 * MIB, 400 * 1024 * MIB + 1, 190 * 1024 * 1024 * MIB] {
            let each = block_size(size);
            assert!(size.div_ceil(each) <= BLOCKS && (BLOCK..=4000 * MIB).contains(&each), "{size}: {each}");
        }
    }

    #[tokio::test]
    async fn a_lost_block_is_sent_again_alone() {
        let lost = AtomicBool::new(false);
        let server = StandIn::new(move |asked| {
            let first = asked.target.contains("comp=block&") && !lost.swap(true, Ordering::Relaxed);
            if first { Answer::Cut } else { Answer::status(201) }
        })
        .await;
        container(&server).write("a b", &source(20 * MIB)).await.unwrap();
        let lines = server.lines();
        let blocks = lines.iter().filter(|line| line.contains("comp=block&")).count();
        assert_eq!((blocks, lines.len()), (4, 5), "{lines:?}");
        let list = String::from_utf8(server.asked().last().unwrap().body.clone()).unwrap();
        assert_eq!(list.matches("<Latest>").count(), 3);
        assert!(lines[4].starts_with("PUT /tes/data/a%20b?comp=blocklist&sig="), "{}", lines[4]);
        let sizes: usize =
            server.asked().iter().filter(|asked| asked.target.contains("comp=block&")).map(|a| a.body.len()).sum();
        assert!(sizes as u64 >= 20 * MIB);
    }

    #[tokio::test]
    async fn vanished_blocks_are_sent_anew_under_other_names() {
        let lists = AtomicUsize::new(0);
        let server = StandIn::new(move |asked| match asked.target.contains("comp=blocklist") {
            true if lists.fetch_add(1, Ordering::Relaxed) == 0 => refusal(400, "InvalidBlockList"),
            _ => Answer::status(201),
        })
        .await;
        container(&server).write("x", &source(17 * MIB)).await.unwrap();
        let lists: Vec<_> = server.asked().into_iter().filter(|asked| asked.target.contains("blocklist")).collect();
        assert_eq!(lists.len(), 2);
        assert_ne!(lists[0].body, lists[1].body);
    }

    #[tokio::test]
    async fn what_is_refused_is_not_tried_again_and_shows_no_secret() {
        for size in [1, 17 * MIB] {
            let server = StandIn::new(|_| refusal(403, "AuthenticationFailed")).await;
            let trouble = container(&server).write("x", &source(size)).await.unwrap_err();
            assert_eq!(trouble.class, FaultClass::Misconfigured);
            assert!(trouble.message.contains("`azureblob://data/x`"), "{}", trouble.message);
            assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
            assert!(server.lines().len() <= ABREAST);
        }
        let server = StandIn::new(|_| refusal(503, "ServerBusy")).await;
        let trouble = container(&server).write("x", &source(1)).await.unwrap_err();
        assert_eq!((trouble.class, server.lines().len()), (FaultClass::Unavailable, 3));
    }
}
