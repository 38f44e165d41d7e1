#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Input, Kind, Output, Plan, Source};
use crate::report::{Fault, FaultClass};
use crate::stage::bring_in::{Brought, bring_in_from};
use crate::stage::deliver::{Delivered, deliver_to};
use crate::storage::location::Location;
use crate::storage::memory::{Happens, Memory};
use crate::storage::moved::{Amount, Moved};
use crate::storage::settings::{Cache, Rule};
use crate::storage::storages::Storages;
use crate::storage::trouble::{Patience, Trouble};
use crate::tree::Tree;

const IMPATIENT: Patience = Patience { tries: 2, first: Duration::from_millis(1), most: Duration::from_millis(2) };

/// A bucket, a tree, and a plan to fill.
struct House {
    around: tempfile::TempDir,
    memory: Arc<Memory>,
    storages: Storages,
    tree: Tree,
    plan: Plan,
}

fn house_with(objects: &[(&str, &[u8])], patience: Patience) -> House {
    let around = tempfile::tempdir().unwrap();
    for directory in ["tree", "links", "cache"] {
        std::fs::create_dir(around.path().join(directory)).unwrap();
    }
    let plan = Plan::read(br#"{"version":1,"job":"j","executors":[{"image":"i","command":["c"]}]}"#).unwrap();
    let memory = Arc::new(Memory::with(objects, patience));
    let storages = Storages::new(&plan.storage, patience);
    let Location::Remote(remote) = Location::parse("s3://b/x").unwrap() else { panic!() };
    storages.put(&remote, memory.clone());
    House { tree: Tree::open(&around.path().join("tree")).unwrap(), around, memory, storages, plan }
}

fn house(objects: &[(&str, &[u8])]) -> House {
    house_with(objects, IMPATIENT)
}

fn input(path: &str, key: &str, kind: Option<Kind>) -> Input {
    Input { path: path.into(), source: Source::Url(format!("s3://b/{key}")), kind }
}

impl House {
    async fn bring(&mut self, inputs: Vec<Input>) -> Result<Brought, Fault> {
        self.plan.inputs = inputs;
        let links = self.around.path().join("links");
        bring_in_from(&self.plan, &self.tree, Some(&links), IMPATIENT, &self.storages).await
    }

    async fn deliver(&mut self, outputs: Vec<Output>, patience: Patience) -> Delivered {
        self.plan.outputs = outputs;
        deliver_to(&self.plan, &self.tree, false, patience, &self.storages).await
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.tree.path().join(&path[1..])).unwrap()
    }

    fn cached(&mut self, max_bytes: u64) {
        let dir = self.around.path().join("cache").to_str().unwrap().to_owned();
        self.plan.storage.cache = Some(Cache { dir, max_bytes });
    }
}

fn big(byte: u8) -> Vec<u8> {
    vec![byte; 1 << 20]
}

const FILE: Option<Kind> = Some(Kind::File);
const DIRECTORY: Option<Kind> = Some(Kind::Directory);

#[tokio::test]
async fn rule_9_5_the_exact_key_and_no_sibling() {
    let mut house = house(&[("x.bam", b"bam"), ("x.bam.bai", b"bai"), ("x.bam/odd", b"odd")]);
    house.bring(vec![input("/in/x.bam", "x.bam", None)]).await.unwrap();
    assert_eq!(house.read("/in/x.bam"), "bam");
    assert_eq!(house.memory.asked(), ["read x.bam"]);
}

#[tokio::test]
async fn rule_9_5_a_directory_ends_at_a_boundary() {
    for key in ["chr1", "chr1/"] {
        let mut house = house(&[("chr1/a", b"a"), ("chr1/s/b", b"b"), ("chr1.fa", b""), ("chr10/c", b"c")]);
        let brought = house.bring(vec![input("/in", key, DIRECTORY)]).await.unwrap();
        assert_eq!((house.read("/in/a"), house.read("/in/s/b")), ("a".into(), "b".into()));
        assert_eq!(std::fs::read_dir(house.tree.path().join("in")).unwrap().count(), 2);
        assert_eq!(brought.notes, Vec::<String>::new());
        let mut asked = house.memory.asked();
        asked[1..].sort();
        assert_eq!(asked, [format!("list {key}"), "read chr1/a".into(), "read chr1/s/b".into()]);
    }
}

#[tokio::test]
async fn rule_9_5_an_empty_prefix_is_an_empty_directory_and_a_note() {
    let mut house = house(&[("other", b"")]);
    let brought = house.bring(vec![input("/in", "none/", DIRECTORY)]).await.unwrap();
    assert_eq!(std::fs::read_dir(house.tree.path().join("in")).unwrap().count(), 0);
    assert!(brought.notes[0].contains("s3://b/none"), "{:?}", brought.notes);
}

#[tokio::test]
async fn rule_9_4_what_is_there_decides() {
    for kind in [None, FILE] {
        let mut house = house(&[("d/a", b"a"), ("d/b", b"b"), ("d/c", b"c"), ("d/e", b"e")]);
        house.bring(vec![input("/in", "d", kind)]).await.unwrap();
        assert_eq!(house.read("/in/a") + &house.read("/in/e"), "ae");
        let fault = house.bring(vec![input("/in2", "none", kind)]).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Rejected);
        assert!(fault.message.contains("does not exist"), "{}", fault.message);
    }
}

#[tokio::test]
async fn rule_9_6_storage_that_is_away_or_unknown_is_named() {
    // Nobody listens where somebody did.
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut house = house(&[]);
    let prefix = format!("http://{away}/");
    house.plan.storage.rules = vec![Rule { prefix: prefix.clone(), internal: true, ..Rule::default() }];
    house.storages = Storages::new(&house.plan.storage, IMPATIENT);
    for (url, class, named) in [
        (format!("{prefix}a?sig=SECRET"), FaultClass::Unavailable, format!("`{prefix}a`")),
        ("gopher://b/k?SECRET".into(), FaultClass::Rejected, "`gopher://b/k`".into()),
    ] {
        let fault = house.bring(vec![Input { source: Source::Url(url), ..input("/in", "", FILE) }]).await.unwrap_err();
        assert_eq!((fault.class, fault.user_code_started), (class, false), "{}", fault.message);
        assert!(fault.message.contains(&named) && !fault.message.contains("SECRET"), "{}", fault.message);
    }
}

#[tokio::test]
async fn rule_9_11_the_time_of_an_object_is_the_files() {
    // The storage's objects are one second apart, in the order in which they were put there.
    let second = |at: u64| std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + at);
    let content = big(7);
    let mut house = house(&[("d/a", b"a"), ("d/b", b"b"), ("k", &content)]);
    house.plan.volumes = vec!["/v".into()];
    let inputs = vec![input("/in", "d", DIRECTORY), input("/v/k", "k", FILE)];
    // Straight from the storage; into the cache and from there; from the cache.
    for cached in [false, true, true] {
        if cached {
            house.cached(1 << 30);
        }
        house.bring(inputs.clone()).await.unwrap();
        for (path, at) in [("in/a", 1), ("in/b", 2), ("v/k", 3)] {
            let path = house.tree.path().join(path);
            assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), second(at), "{path:?} {cached}");
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test]
async fn names_that_lead_out_are_refused() {
    for name in ["d/../../x", "d//x", "d/./x"] {
        let mut house = house(&[(name, b"x")]);
        let fault = house.bring(vec![input("/in", "d", DIRECTORY)]).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Rejected, "{name}");
        assert!(fault.message.contains(&name[2..]), "{}", fault.message);
        assert!(!house.tree.path().join("x").exists());
    }
}

#[tokio::test]
async fn nothing_half_fetched_is_left() {
    let mut house = house(&[("k", &[7; 1000])]);
    house.memory.happens([Happens::Breaks(10), Happens::Breaks(0), Happens::Breaks(0)]);
    let fault = house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Unavailable);
    assert_eq!(std::fs::read_dir(house.tree.path().join("in")).unwrap().count(), 0);
}

#[tokio::test]
async fn no_more_than_the_task_has_room_for() {
    let mut house = house(&[("k", &[7; 1000])]);
    house.plan.limits.disk_bytes = Some(999);
    let fault = house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Rejected);
    assert!(fault.message.contains("999"), "{}", fault.message);
}

#[tokio::test]
async fn rule_9_9_a_repeated_input_is_shared_and_read_only() {
    let content = big(7);
    let mut house = house(&[("k", &content)]);
    house.cached(1 << 30);
    for asked in ["read k", "stat k"] {
        let brought = house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap();
        assert_eq!(house.memory.asked(), [asked]);
        let [shared] = &brought.mounts[..] else { panic!("{brought:?}") };
        assert_eq!(shared.container, "/in/k");
        assert!(!shared.writable);
        assert!(std::fs::read(&shared.host).unwrap() == content);
        let about = std::fs::metadata(&shared.host).unwrap();
        assert_eq!((about.permissions().mode() & 0o777, about.nlink()), (0o555, 2));
        assert!(!house.tree.path().join("in/k").exists(), "the task sees its tree, and can write there");
    }
    house.memory.put("k", &big(8));
    let brought = house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap();
    assert_eq!(std::fs::read(&brought.mounts[0].host).unwrap()[0], 8);
    assert_eq!(house.memory.asked(), ["stat k", "read k"]);
}

#[tokio::test]
async fn rule_9_9_where_the_task_writes_it_gets_a_copy() {
    let content = big(7);
    let mut house = house(&[("k", &content)]);
    house.cached(1 << 30);
    house.plan.volumes = vec!["/v".into()];
    house.plan.executors[0].workdir = Some("/w".into());
    house.plan.outputs = vec![
        Output { path: "/o".into(), url: "s3://b/o".into(), path_prefix: None, kind: DIRECTORY },
        Output { path: "/same".into(), url: "s3://b/same".into(), path_prefix: None, kind: FILE },
        Output { path: "/p/*".into(), url: "s3://b/p".into(), path_prefix: Some("/p".into()), kind: None },
    ];
    let paths = ["/v/k", "/w/k", "/o/k", "/same", "/p/k"];
    for _ in 0..2 {
        let brought = house.bring(paths.iter().map(|path| input(path, "k", FILE)).collect()).await.unwrap();
        assert_eq!(brought.mounts, []);
        for path in paths {
            let there = house.tree.path().join(&path[1..]);
            let about = std::fs::metadata(&there).unwrap();
            assert_eq!((about.len(), about.nlink()), (1 << 20, 1), "{path}");
            std::fs::write(there, "changed").unwrap();
        }
    }
    let brought = house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap();
    assert!(std::fs::read(&brought.mounts[0].host).unwrap() == content);
}

#[tokio::test]
async fn the_cache_is_bounded_and_spares_what_is_small() {
    let mut house = house(&[("a", &big(1)), ("b", &big(2)), ("small", b"x")]);
    house.cached(3 << 19);
    let kept = |house: &House| std::fs::read_dir(house.around.path().join("cache/objects")).unwrap().count();
    for key in ["a", "b", "small"] {
        let brought = house.bring(vec![input("/in/k", key, FILE)]).await.unwrap();
        assert_eq!(brought.mounts.len(), usize::from(key != "small"));
        assert_eq!(kept(&house), 1);
        std::fs::remove_file(house.tree.path().join("in/k")).ok();
    }
    house.memory.asked();
    house.bring(vec![input("/in/k", "b", FILE)]).await.unwrap();
    assert_eq!(house.memory.asked(), ["stat b"], "what was used last is kept");
    // Someone empties it while a task runs: the task has a link of its own, and the next one fetches again.
    std::fs::remove_dir_all(house.around.path().join("cache/objects")).unwrap();
    assert!(house.around.path().join("links/0").exists());
    house.bring(vec![input("/in/k", "b", FILE)]).await.unwrap();
    assert_eq!(house.memory.asked(), ["read b"]);
}

#[tokio::test]
async fn the_same_input_many_times_at_once_is_fetched_once() {
    let mut house = house(&[("k", &big(7))]);
    house.cached(1 << 30);
    let inputs: Vec<_> = (0..10).map(|n| input(&format!("/in{n}/k"), "k", FILE)).collect();
    let brought = house.bring(inputs).await.unwrap();
    assert_eq!(brought.mounts.len(), 10);
    let asked = house.memory.asked();
    assert_eq!(asked.iter().filter(|asked| *asked == "read k").count(), 1, "{asked:?}");
}

#[tokio::test]
async fn what_nobody_fetches_any_more_leaves_the_cache() {
    let mut house = house(&[]);
    house.cached(1 << 30);
    let new = house.around.path().join("cache/new");
    std::fs::create_dir_all(&new).unwrap();
    let (left, held) = (new.join("1-0"), new.join("1-1"));
    std::fs::write(&left, "of a process that was killed").unwrap();
    let lock = std::fs::File::create(&held).unwrap();
    lock.lock().unwrap();
    assert!(house.bring(vec![input("/in/x", "x", None)]).await.is_err());
    let names: Vec<_> = std::fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [held], "neither what was left nor what has just failed");
}

#[tokio::test]
async fn a_damaged_cache_is_no_fault() {
    let mut house = house(&[("k", &big(7))]);
    house.cached(1 << 30);
    house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap();
    let cache = house.around.path().join("cache");
    let one = |part: &str| std::fs::read_dir(cache.join(part)).unwrap().next().unwrap().unwrap().path();
    for damage in ["", "{}", "{\"tag\":\"v1\",\"size\":1048576,\"object\":\"../../tree\",\"boot\":\"\"}"] {
        std::fs::write(one("urls"), damage).unwrap();
        let brought = house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap();
        assert_eq!(std::fs::read(&brought.mounts[0].host).unwrap().len(), 1 << 20);
    }
    // Cut short by a crash.
    let object = one("objects");
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::File::options().write(true).open(&object).unwrap().set_len(5).unwrap();
    let brought = house.bring(vec![input("/in/k", "k", FILE)]).await.unwrap();
    assert_eq!(std::fs::read(&brought.mounts[0].host).unwrap().len(), 1 << 20);
}

fn output(path: &str, key: &str, kind: Option<Kind>) -> Output {
    Output { path: path.into(), url: format!("s3://b/{key}"), path_prefix: None, kind }
}

#[tokio::test]
async fn rule_10_6_a_directory_goes_to_its_keys_as_they_are() {
    let mut house = house(&[]);
    for (name, text) in [("o/a b%+", "1"), ("o/s/ä#?", "2")] {
        let path = house.tree.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::fs::create_dir(house.tree.path().join("o/empty")).unwrap();
    let delivered = house.deliver(vec![output("/o", "out/", DIRECTORY)], IMPATIENT).await;
    assert_eq!(delivered.fault, None);
    let mut files: Vec<_> = delivered.files.iter().map(|file| (file.url.as_str(), file.size_bytes)).collect();
    files.sort_unstable();
    assert_eq!(files, [("s3://b/out/a b%+", 1), ("s3://b/out/s/ä#?", 1)]);
    assert_eq!(house.memory.get("out/s/ä#?").unwrap(), "2".as_bytes());
}

#[tokio::test]
async fn rule_10_4_in_a_store_too_the_later_of_two_outputs_wins() {
    let mut house = house(&[("out/log", b"older")]);
    std::fs::create_dir(house.tree.path().join("o")).unwrap();
    std::fs::write(house.tree.path().join("o/log"), "from the directory").unwrap();
    std::fs::write(house.tree.path().join("stdout"), "the later").unwrap();
    let outputs = vec![output("/o", "out/", DIRECTORY), output("/stdout", "out/log", FILE)];
    // The first is refused once and takes its time, so that the other would overtake it.
    house.memory.happens([Happens::Fails(Trouble::unavailable("busy"))]);
    let delivered = house.deliver(outputs, IMPATIENT).await;
    assert_eq!(delivered.fault, None);
    assert_eq!(house.memory.get("out/log").unwrap(), "the later".as_bytes());
    assert_eq!(house.memory.asked(), ["write out/log", "write out/log", "write out/log"]);
    let paths: Vec<_> = delivered.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["/o/log", "/stdout"]);
}

#[tokio::test]
async fn rule_10_3_what_a_store_refuses_after_a_failure_is_only_noted() {
    let mut house = house(&[]);
    std::fs::write(house.tree.path().join("a"), "a").unwrap();
    house.memory.happens([Happens::Fails(Trouble::misconfigured("the bucket is read-only"))]);
    house.plan.outputs = vec![output("/a", "a", FILE), output("/none", "none", FILE)];
    let delivered = deliver_to(&house.plan, &house.tree, true, IMPATIENT, &house.storages).await;
    assert_eq!((delivered.fault, delivered.files), (None, vec![]));
    let notes = delivered.notes.concat();
    assert!(notes.contains("`s3://b/a`: the bucket is read-only") && notes.contains("/none"), "{notes}");
}

#[tokio::test]
async fn one_output_that_fails_holds_no_other_back() {
    let mut house = house(&[]);
    std::fs::write(house.tree.path().join("a"), "a").unwrap();
    std::fs::write(house.tree.path().join("b"), "b").unwrap();
    house.memory.happens([Happens::Fails(Trouble::misconfigured("the bucket is read-only"))]);
    let delivered = house.deliver(vec![output("/a", "a", FILE), output("/b", "b", FILE)], IMPATIENT).await;
    let fault = delivered.fault.unwrap();
    assert_eq!(fault.class, FaultClass::Misconfigured);
    // They go side by side; whichever met the refusal is the one that is named.
    let other = &delivered.files[0].path;
    let failed = if other == "/a" { "b" } else { "a" };
    let named = [format!("`/{failed}`"), format!("`s3://b/{failed}`")];
    assert!(named.iter().all(|named| fault.message.contains(named)), "{}", fault.message);
    assert_eq!(delivered.files.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_10_7_an_upload_is_tried_longer_than_a_download() {
    let busy = || Happens::Fails(Trouble::unavailable("busy"));
    let times = usize::try_from(Patience::DOWNLOAD.tries).unwrap() + 5;
    let mut house = house_with(&[("k", b"k")], Patience::UPLOAD);
    house.memory.happens((0..times).map(|_| busy()));
    house.plan.inputs = vec![input("/in", "k", FILE)];
    let begun = tokio::time::Instant::now();
    let brought = bring_in_from(&house.plan, &house.tree, None, Patience::DOWNLOAD, &house.storages).await;
    assert_eq!(brought.unwrap_err().class, FaultClass::Unavailable);
    let download = begun.elapsed();
    let left = times - house.memory.asked().len();
    house.memory.happens((left..times).map(|_| busy()));
    std::fs::write(house.tree.path().join("o"), "result").unwrap();
    let begun = tokio::time::Instant::now();
    let delivered = house.deliver(vec![output("/o", "o", FILE)], Patience::UPLOAD).await;
    assert_eq!(delivered.fault, None);
    assert_eq!(house.memory.get("o").unwrap(), "result".as_bytes());
    assert!(begun.elapsed() > download * 5, "{:?} {download:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_brought_in_and_delivered_is_counted() {
    let moved = Arc::<Moved>::default();
    let mut house = house(&[("one", b"1"), ("many/a", b"22"), ("many/b", b"333")]);
    house.storages = std::mem::replace(&mut house.storages, Storages::new(&house.plan.storage, IMPATIENT))
        .counted_in(Arc::clone(&moved));
    let text = Input { path: "/text".into(), source: Source::Content("4444".into()), kind: None };
    let inputs = vec![input("/one", "one", None), input("/many", "many/", Some(Kind::Directory)), text];
    house.bring(inputs).await.unwrap();
    assert_eq!(moved.look(), Amount { files: 4, of_files: 4, bytes: 10, of_bytes: Some(10) });

    let moved = Arc::<Moved>::default();
    house.storages = std::mem::replace(&mut house.storages, Storages::new(&house.plan.storage, IMPATIENT))
        .counted_in(Arc::clone(&moved));
    house.deliver(vec![output("/many", "out", Some(Kind::Directory))], IMPATIENT).await;
    assert_eq!(moved.look(), Amount { files: 2, of_files: 2, bytes: 5, of_bytes: Some(5) });
}
