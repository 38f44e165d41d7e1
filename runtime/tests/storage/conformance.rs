//! What every storage promises, whatever its protocol: one suite for all of them.
//!
//! A storage joins with a [`Ground`] and a test that calls [`all`]; `s3.rs` is the example. What a protocol cannot do
//! is said in [`Features`], so that a gap is seen in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::checksum::Hasher;
use tessera_runtime::storage::location::{Location, Remote, join};
use tessera_runtime::storage::source::Source;
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::{Object, Reading, Span, Store};
use tessera_runtime::storage::trouble::{Patience, Trouble, Why};

/// For the writers of grounds: what fails, fails soon.
pub(crate) const IMPATIENT: Patience =
    Patience { tries: 3, first: Duration::from_millis(10), most: Duration::from_millis(50) };

/// Where a storage is put to the test.
pub(crate) struct Ground {
    /// Opens what lies below `base`.
    pub(crate) storages: Storages,
    /// URL of a directory that is this run's alone and need not exist yet; without a slash at its end.
    pub(crate) base: String,
    /// The same with credentials that are wrong; `None` where nobody is asked for any.
    pub(crate) strangers: Option<Storages>,
    /// URL of a file in a bucket or container that does not exist; `None` where there are none.
    pub(crate) nowhere: Option<String>,
    /// Texts that no message may hold.
    pub(crate) secrets: Vec<String>,
    pub(crate) features: Features,
}

/// What a storage can do beyond the abilities that it tells itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// Directories exist of their own.
    pub(crate) directories: bool,
    /// Names may begin with a slash or hold two in a row.
    pub(crate) slashes: bool,
    /// Names may hold a backslash; otherwise they are refused, not changed.
    pub(crate) backslashes: bool,
    /// Files to list: enough for two pages.
    pub(crate) many: usize,
}

/// A file to be.
struct Place {
    store: Arc<dyn Store>,
    key: String,
    url: String,
}

impl Ground {
    fn place(&self, name: &str) -> Place {
        place(&self.storages, join(&self.base, Path::new(name)))
    }

    /// A trouble that names the place and no secret.
    fn fair(&self, trouble: &Trouble, place: &Place) {
        let shown = tessera_runtime::storage::location::redacted(&place.url);
        assert!(trouble.message.contains(&shown), "`{shown}` is not in: {}", trouble.message);
        for secret in &self.secrets {
            assert!(!trouble.message.contains(secret), "a secret is in: {}", trouble.message);
        }
    }
}

fn place(storages: &Storages, url: String) -> Place {
    let (store, key) = storages.open(&remote(&url)).unwrap();
    Place { store, key, url }
}

fn remote(url: &str) -> Remote {
    match Location::parse(url).unwrap() {
        Location::Remote(remote) => remote,
        Location::Host(path) => panic!("{path:?}"),
    }
}

/// The storage of a URL, and the URL's key in it.
pub(crate) fn opened(storages: &Storages, url: &str) -> (Arc<dyn Store>, String) {
    storages.open(&remote(url)).unwrap()
}

/// The names of all files below a directory.
pub(crate) async fn files(store: &dyn Store, directory: &str) -> Result<Vec<String>, Trouble> {
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let page = store.list(directory, next.as_deref()).await?;
        found.extend(page.entries.into_iter().filter(|entry| !entry.object.directory).map(|entry| entry.name));
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

impl Place {
    async fn put(&self, content: &[u8]) {
        self.try_put(content).await.unwrap_or_else(|trouble| panic!("{}: {trouble:?}", self.url));
    }

    async fn try_put(&self, content: &[u8]) -> Result<(), Trouble> {
        self.store.write(&self.key, &source(content)).await
    }

    /// A write that is refused. Whether the answer or the broken connection is seen first is a matter of luck.
    async fn refused(&self, content: &[u8]) -> Trouble {
        let mut trouble = self.try_put(content).await.unwrap_err();
        for _ in 0..20 {
            if trouble.class != FaultClass::Unavailable {
                break;
            }
            trouble = self.try_put(content).await.unwrap_err();
        }
        trouble
    }

    async fn read(&self, span: Span) -> Reading {
        self.store.read(&self.key, span, None).await.unwrap_or_else(|trouble| panic!("{}: {trouble:?}", self.url))
    }

    async fn get(&self) -> Vec<u8> {
        self.stretch(Span::WHOLE).await
    }

    /// What a span holds; an answer may begin before it and, with that, end behind it.
    async fn stretch(&self, span: Span) -> Vec<u8> {
        let reading = self.read(span).await;
        let skip = usize::try_from(span.from - reading.from).unwrap();
        let mut bytes = content(reading).await.unwrap().split_off(skip);
        if skip > 0 {
            bytes.truncate(span.length.map_or(usize::MAX, |length| usize::try_from(length).unwrap()));
        }
        bytes
    }

    async fn stat(&self) -> Option<Object> {
        self.store.stat(&self.key).await.unwrap_or_else(|trouble| panic!("{}: {trouble:?}", self.url))
    }

    /// Everything below, all pages.
    async fn list(&self) -> BTreeMap<String, Object> {
        let (mut found, mut next) = (BTreeMap::new(), None);
        loop {
            let page = self.store.list(&self.key, next.as_deref()).await;
            let page = page.unwrap_or_else(|trouble| panic!("{}: {trouble:?}", self.url));
            for entry in page.entries {
                assert!(found.insert(entry.name.clone(), entry.object).is_none(), "{} is listed twice", entry.name);
            }
            next = page.next;
            if next.is_none() {
                return found;
            }
        }
    }

    /// The files below.
    async fn files(&self) -> BTreeSet<String> {
        self.list().await.into_iter().filter(|(_, object)| !object.directory).map(|(name, _)| name).collect()
    }
}

/// A file to write.
pub(crate) fn source(content: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Source::new(file).unwrap()
}

async fn content(reading: Reading) -> Result<Vec<u8>, Trouble> {
    let pieces: Vec<_> = reading.body.try_collect().await?;
    Ok(pieces.concat())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at / 251 + at) % 251) as u8).collect()
}

/// Everything, one after the other.
pub(crate) async fn all(ground: &Ground) {
    assert!(ground.place("x").store.abilities().writes, "without writing there is nothing to prove");
    what_was_written_is_read(ground).await;
    writing_replaces(ground).await;
    large_files_are_whole(ground).await;
    stretches_are_exact(ground).await;
    another_version_is_refused(ground).await;
    what_is_not_there_is_absent(ground).await;
    what_breaks_off_is_not_seen(ground).await;
    writers_of_one_name_do_not_mix(ground).await;
    odd_names_are_just_names(ground).await;
    strangers_are_turned_away(ground).await;
    no_bucket_is_said_so(ground).await;
    if ground.place("x").store.abilities().lists {
        rule_9_5_listings_end_at_a_boundary(ground).await;
        directories_are_what_they_are(ground).await;
        long_listings_are_complete(ground).await;
    } else {
        let place = ground.place("listed");
        let trouble = place.store.list(&place.key, None).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected);
        ground.fair(&trouble, &place);
    }
}

async fn what_was_written_is_read(ground: &Ground) {
    for size in [0, 1, 5, 70_001] {
        let (place, wanted) = (ground.place(&format!("written/of/{size}")), pattern(size));
        place.put(&wanted).await;
        let reading = place.read(Span::WHOLE).await;
        assert_eq!(reading.from, 0);
        let object = reading.object.clone();
        assert!(object.size.is_none_or(|told| told == size as u64), "{object:?}");
        assert!(content(reading).await.unwrap() == wanted, "{}", place.url);
        let seen = place.stat().await.unwrap();
        assert_eq!((seen.directory, seen.size), (false, Some(size as u64)));
        assert!(seen.tag.is_none() || object.tag.is_none() || seen.tag == object.tag, "{seen:?}, {object:?}");
        for promised in seen.checksums.into_iter().chain(object.checksums) {
            let mut hasher = Hasher::new(promised.algorithm);
            hasher.update(&wanted);
            assert_eq!(hasher.finish(), promised);
        }
    }
}

async fn writing_replaces(ground: &Ground) {
    let place = ground.place("replaced");
    place.put(&pattern(1000)).await;
    place.put(b"short").await;
    assert_eq!(place.get().await, b"short");
    assert_eq!(place.stat().await.unwrap().size, Some(5));
}

async fn large_files_are_whole(ground: &Ground) {
    let (place, wanted) = (ground.place("large"), pattern(20 * 1024 * 1024 + 3));
    let source = source(&wanted);
    place.store.write(&place.key, &source).await.unwrap();
    assert!(place.get().await == wanted);
    let span = Span { from: 16 * 1024 * 1024 - 2, length: Some(5) };
    assert_eq!(place.stretch(span).await, wanted[16 * 1024 * 1024 - 2..][..5]);
    for promised in place.stat().await.unwrap().checksums {
        let mut hasher = Hasher::new(promised.algorithm);
        hasher.update(&wanted);
        assert_eq!(hasher.finish(), promised);
    }
}

async fn stretches_are_exact(ground: &Ground) {
    let (place, wanted) = (ground.place("stretched"), pattern(1000));
    place.put(&wanted).await;
    for (from, length, found) in [
        (0, Some(10), &wanted[..10]),
        (5, Some(7), &wanted[5..12]),
        (990, None, &wanted[990..]),
        (999, Some(1), &wanted[999..]),
        (990, Some(50), &wanted[990..]),
    ] {
        assert_eq!(place.stretch(Span { from, length }).await, found, "{from} {length:?}");
    }
    let part = place.read(Span { from: 5, length: Some(7) }).await;
    assert_eq!(part.from, if place.store.abilities().ranges { 5 } else { part.from });
    assert!(part.object.size.is_none_or(|size| size == 1000), "{:?}", part.object);

    let empty = ground.place("stretched-empty");
    empty.put(b"").await;
    assert_eq!(empty.stretch(Span { from: 0, length: Some(10) }).await, b"");
}

async fn another_version_is_refused(ground: &Ground) {
    let place = ground.place("changed");
    place.put(b"first").await;
    let Some(tag) = place.read(Span::WHOLE).await.object.tag else { return };
    for span in [Span::WHOLE, Span { from: 1, length: Some(3) }] {
        let same = place.store.read(&place.key, span, Some(&tag)).await.unwrap();
        assert!(content(same).await.is_ok());
    }
    place.put(b"and another one").await;
    for span in [Span::WHOLE, Span { from: 1, length: Some(3) }] {
        let trouble = place.store.read(&place.key, span, Some(&tag)).await.unwrap_err();
        assert_eq!((trouble.why, trouble.class), (Why::Changed, FaultClass::Unavailable), "{}", trouble.message);
        ground.fair(&trouble, &place);
    }
}

async fn what_is_not_there_is_absent(ground: &Ground) {
    ground.place("there/x").put(b"x").await;
    for name in ["there/missing", "not/there"] {
        let place = ground.place(name);
        assert_eq!(place.stat().await, None);
        let trouble = place.store.read(&place.key, Span::WHOLE, None).await.unwrap_err();
        assert_eq!((trouble.why, trouble.class), (Why::Absent, FaultClass::Rejected), "{}", trouble.message);
        ground.fair(&trouble, &place);
    }
}

/// A file that becomes shorter while it is delivered stands for every cut on the way.
async fn what_breaks_off_is_not_seen(ground: &Ground) {
    for (name, before) in [("broken/new", None), ("broken/old", Some(b"before"))] {
        let place = ground.place(name);
        if let Some(before) = before {
            place.put(before).await;
        }
        for size in [3 * 1024 * 1024, 20 * 1024 * 1024] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&pattern(size)).unwrap();
            let source = Source::new(file.try_clone().unwrap()).unwrap();
            file.set_len(size as u64 - 1024 * 1024).unwrap();
            let trouble = place.store.write(&place.key, &source).await.unwrap_err();
            ground.fair(&trouble, &place);
            match before {
                Some(before) => assert_eq!(place.get().await, before),
                None => assert_eq!(place.stat().await, None),
            }
        }
    }
}

async fn writers_of_one_name_do_not_mix(ground: &Ground) {
    let place = ground.place("contested");
    let one_of = |letter: u8| vec![letter; 300_000 + usize::from(letter)];
    let writing = b"abcdefgh".iter().map(|letter| {
        let (place, content) = (&place, one_of(*letter));
        async move { place.put(&content).await }
    });
    futures::future::join_all(writing).await;
    let found = place.get().await;
    assert!(found == one_of(found[0]), "{} bytes, of {:?} and others", found.len(), found.first());
}

async fn odd_names_are_just_names(ground: &Ground) {
    let mut names = vec![
        "a b",
        " c ",
        "100%",
        "a%20b",
        "%2e%2e",
        "a+b",
        "a#b",
        "#md5=x",
        "a?b=c&d",
        "naïve-ü-日本",
        "e\u{301}",
        "!$&'()*,;:=@[]^{}|~`<>",
        "quote\"",
        ".hidden",
        "..also",
        "a..b",
        "-x",
        "sub dir/a+b%",
    ];
    if ground.features.slashes {
        names.extend(["/leading", "two//slashes"]);
    }
    if ground.features.backslashes {
        names.push("back\\slash");
    } else {
        let trouble = ground.place("odd/back\\slash").try_put(b"").await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected, "{}", trouble.message);
    }
    for name in &names {
        ground.place(&format!("odd/{name}")).put(name.as_bytes()).await;
    }
    for name in &names {
        assert_eq!(ground.place(&format!("odd/{name}")).get().await, name.as_bytes(), "{name}");
    }
    let directory = ground.place("odd");
    if directory.store.abilities().lists {
        let wanted: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(directory.files().await, wanted);
    }
}

async fn strangers_are_turned_away(ground: &Ground) {
    let Some(strangers) = &ground.strangers else { return };
    let owned = ground.place("guarded");
    owned.put(b"mine").await;
    let place = place(strangers, owned.url.clone());
    let mut troubles = vec![
        place.store.read(&place.key, Span::WHOLE, None).await.unwrap_err(),
        place.store.stat(&place.key).await.unwrap_err(),
        place.try_put(b"theirs").await.unwrap_err(),
        // Refused while it is still being sent.
        place.refused(&pattern(10 * 1024 * 1024)).await,
        place.refused(&pattern(20 * 1024 * 1024)).await,
    ];
    if place.store.abilities().lists {
        troubles.push(place.store.list(&place.key, None).await.unwrap_err());
    }
    for trouble in troubles {
        assert_eq!(trouble.class, FaultClass::Misconfigured, "{}", trouble.message);
        ground.fair(&trouble, &place);
    }
    assert_eq!(owned.get().await, b"mine");
}

async fn no_bucket_is_said_so(ground: &Ground) {
    let Some(nowhere) = &ground.nowhere else { return };
    let place = place(&ground.storages, nowhere.clone());
    for trouble in [
        place.store.read(&place.key, Span::WHOLE, None).await.unwrap_err(),
        place.try_put(b"x").await.unwrap_err(),
        place.try_put(&pattern(20 * 1024 * 1024)).await.unwrap_err(),
        place.store.list(&place.key, None).await.unwrap_err(),
    ] {
        assert_eq!(trouble.class, FaultClass::Rejected, "{}", trouble.message);
        ground.fair(&trouble, &place);
    }
}

async fn rule_9_5_listings_end_at_a_boundary(ground: &Ground) {
    for name in ["listed/chr1/a", "listed/chr1/b/c", "listed/chr10/x", "listed/chr1.txt", "listed/chr1-2"] {
        ground.place(name).put(name.as_bytes()).await;
    }
    let wanted: BTreeSet<_> = ["a", "b/c"].map(str::to_owned).into();
    assert_eq!(ground.place("listed/chr1").files().await, wanted);
    assert_eq!(ground.place("listed/chr1/").files().await, wanted);
    let found = ground.place("listed/chr1").list().await;
    assert_eq!(found["a"].size, Some(13));
    // A listing's tag names the same version that reading does, or it would fetch nothing.
    if let Some(tag) = &found["a"].tag {
        let place = ground.place("listed/chr1/a");
        assert!(place.store.read(&place.key, Span::WHOLE, Some(tag)).await.is_ok());
    }
}

async fn directories_are_what_they_are(ground: &Ground) {
    let empty = ground.place("directories/empty");
    empty.store.make_directory(&empty.key).await.unwrap();
    // With its parents, and again.
    let deep = ground.place("directories/some/deep/er");
    deep.store.make_directory(&deep.key).await.unwrap();
    deep.store.make_directory(&deep.key).await.unwrap();
    ground.place("directories/full/x").put(b"x").await;
    assert_eq!(ground.place("directories").files().await, BTreeSet::from(["full/x".to_owned()]));
    assert_eq!(empty.files().await, BTreeSet::new());
    if !ground.features.directories {
        assert_eq!(ground.place("directories/missing").files().await, BTreeSet::new());
        return;
    }
    assert!(ground.place("directories").list().await["empty"].directory);
    assert!(empty.stat().await.unwrap().directory);
    let full = ground.place("directories/full");
    let trouble = full.store.read(&full.key, Span::WHOLE, None).await.unwrap_err();
    // Some protocols do not tell one from the other.
    assert!(matches!(trouble.why, Why::Directory | Why::Absent), "{trouble:?}");
    ground.fair(&trouble, &full);
    let missing = ground.place("directories/missing");
    let trouble = missing.store.list(&missing.key, None).await.unwrap_err();
    assert_eq!(trouble.why, Why::Absent, "{}", trouble.message);
    ground.fair(&trouble, &missing);
}

async fn long_listings_are_complete(ground: &Ground) {
    let names: BTreeSet<String> = (0..ground.features.many).map(|n| format!("{:02}/{n}", n % 20)).collect();
    let writing = names.iter().map(|name| {
        let place = ground.place(&format!("many/{name}"));
        async move { place.put(b"x").await }
    });
    futures::stream::iter(writing).buffer_unordered(8).collect::<Vec<_>>().await;
    assert_eq!(ground.place("many").files().await, names);
}
