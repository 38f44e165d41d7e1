//! What storages do that a task survives, and the names that its files may have.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tessera_runtime::plan::Kind;
use tessera_runtime::report::FaultClass;
use tessera_runtime::stage::deliver_to;
use tessera_runtime::storage::location::join;
use tessera_runtime::storage::settings::Rule as Settings;
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::tree::Tree;

use crate::conformance::IMPATIENT;
use crate::proxy::{Fault, Rule};
use crate::rig::Rig;
use crate::scene::{Scene, output, replace};

/// Fetched in several requests, and sent in several parts.
const LARGE: usize = 40 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_waited_for_while_fetching() {
    let Some(rig) = Rig::find() else { return };
    let mut scene = Scene::new(&rig).await;
    let content: Vec<u8> = (0..LARGE).map(|at| (at / 1000) as u8).collect();
    scene.holds(&content).await;
    let read = |fault: Fault| Rule::new(fault).method("GET").times(1);
    for fault in [
        Fault::Answer { status: 429, retry_after_s: Some(0) },
        Fault::Answer { status: 500, retry_after_s: None },
        Fault::Answer { status: 503, retry_after_s: None },
        Fault::HangUp,
        Fault::CutAnswer(20_000_000),
        Fault::Stall(1_000_000),
        Fault::FlipInAnswer(123_456),
    ] {
        fs::remove_file(scene.tree.join("in")).ok();
        let told = format!("{fault:?}");
        scene.proxy.rules([read(fault)]);
        let fetched = scene.fetch().await.unwrap_or_else(|fault| panic!("{told}: {fault:?}"));
        assert!(fetched == content, "{told}: something else came");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changes_once_comes_as_one_of_both() {
    let Some(rig) = Rig::find() else { return };
    let mut scene = Scene::new(&rig).await;
    scene.holds(&vec![1; LARGE]).await;
    let other = scene.another(&vec![2; LARGE]).await;
    let file = scene.behind.clone();
    let change = move || replace(&file, &other);
    // Behind the first answer, of which only a stretch is taken.
    scene.proxy.rules([Rule::new(Fault::First(Arc::new(change))).method("GET").after(1).times(1)]);
    assert!(scene.fetch().await.unwrap() == vec![2; LARGE], "neither the former object nor a mix of both");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_waited_for_while_delivering() {
    let Some(rig) = Rig::find() else { return };
    let mut scene = Scene::new(&rig).await;
    scene.holds(b"before").await;
    let write = |fault: Fault| Rule::new(fault).method("PUT").times(2);
    for (which, fault) in [
        Fault::Answer { status: 429, retry_after_s: Some(0) },
        Fault::Answer { status: 503, retry_after_s: None },
        Fault::HangUp,
        Fault::CutRequest(1_000_000),
        Fault::FlipInRequest(123_456),
    ]
    .into_iter()
    .enumerate()
    {
        let content = vec![which as u8; LARGE];
        let told = format!("{fault:?}");
        scene.proxy.rules([write(fault)]);
        scene.deliver(&content).await.unwrap_or_else(|fault| panic!("{told}: {fault:?}"));
        assert!(fs::read(&scene.behind).unwrap() == content, "{told}: something else arrived");
    }
}

/// Names that a URL, a signature or a shell could mistake for something else.
const NAMES: &[&str] = &[
    "with space",
    " leading and trailing ",
    "per%cent",
    "per%20cent",
    "pl+us",
    "ha#sh",
    "quest?ion=1&b",
    "ünïcödé-日本",
    "quo'te\"s",
    "semi;colon,comma",
    "star*[a]?",
    "~tilde=@:!$()",
    "deep/er/file",
    ".hidden",
    "..two",
    "-dash",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_5_and_10_6_names_come_back_as_they_went() {
    let Some(rig) = Rig::find() else { return };
    let (ftp, dav, az) = (&rig.ftp, &rig.webdav, &rig.azure);
    let dav_base = dav.url.trim_end_matches('/').replacen("http", "webdav", 1);
    let bases = [
        format!("s3://{}", rig.s3.bucket),
        format!("gs://{}", rig.gcs.bucket),
        format!("azureblob://{}/{}", az.account, az.container),
        format!("ftp://{}", ftp.address),
        format!("sftp://{}{}", rig.sftp.address, rig.sftp.folder.display()),
        dav_base,
    ];
    for base in bases {
        let mut scene = Scene::new(&rig).await;
        scene.plan.storage.rules = rules(&rig);
        let folder = format!("{base}/names-{}", std::process::id());
        for name in NAMES {
            let file = scene.tree.join("out").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, name).unwrap();
        }
        scene.plan.outputs = vec![output("/out", &folder, Kind::Directory)];
        let storages = Storages::new(&scene.plan.storage, IMPATIENT);
        let sent = deliver_to(&scene.plan, &Tree::open(&scene.tree).unwrap(), false, IMPATIENT, &storages).await;
        assert_eq!((sent.fault, sent.files.len()), (None, NAMES.len()), "{base}");

        // All of them at once,
        scene.url = folder.clone();
        scene.fetch_as(Kind::Directory).await.unwrap_or_else(|fault| panic!("{base}: {fault:?}"));
        assert_eq!(files(&scene.tree.join("in")), NAMES.iter().map(|name| (*name).to_owned()).collect(), "{base}");
        fs::remove_dir_all(scene.tree.join("in")).unwrap();
        // and each by the URL that the report gives it.
        for file in sent.files {
            scene.url = file.url;
            let came = scene.fetch().await.unwrap_or_else(|fault| panic!("{}: {fault:?}", scene.url));
            assert_eq!(format!("/out/{}", String::from_utf8(came).unwrap()), file.path, "{}", scene.url);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_no_file_can_have_fail_the_task() {
    let Some(rig) = Rig::find() else { return };
    for (number, name) in ["../out", "a//b", "/a", "a/./b"].into_iter().enumerate() {
        let mut scene = Scene::new(&rig).await;
        scene.plan.storage.rules = rules(&rig);
        let folder = format!("gs://{}/odd-{}-{number}", rig.gcs.bucket, std::process::id());
        // As it is written: joining would make a name of a file of it.
        scene.url = format!("{folder}/{name}");
        scene.deliver(b"x").await.unwrap();
        scene.url = folder;
        let fault = scene.fetch_as(Kind::Directory).await.expect_err(name);
        assert_eq!(fault.class, FaultClass::Rejected, "{fault:?}");
        assert!(fault.message.ends_with("cannot be the name of a file"), "{}", fault.message);
        assert_eq!(files(&scene.tree), BTreeSet::from(["out".to_owned()]), "nothing but what was sent");
        // The object itself can be had.
        scene.url = join(&scene.url, Path::new("")).trim_end_matches('/').to_owned() + "/" + name;
        assert_eq!(scene.fetch().await.unwrap(), b"x");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_many_pages_comes_whole() {
    const MANY: usize = 3_500;
    let Some(rig) = Rig::find() else { return };
    let mut scene = Scene::new(&rig).await;
    let behind = scene.behind.parent().unwrap().join("many");
    fs::create_dir_all(&behind).unwrap();
    for number in 0..MANY {
        fs::write(behind.join(number.to_string()), number.to_string()).unwrap();
    }
    scene.url = scene.url.replace("/file", "/many/");
    // A page that fails once is asked for again, and no other is.
    scene.proxy.rules([Rule::status(503).path("continuation-token").times(1)]);
    scene.fetch_as(Kind::Directory).await.unwrap();
    let wanted: BTreeSet<_> = (0..MANY).map(|number| number.to_string()).collect();
    assert_eq!(files(&scene.tree.join("in")), wanted);
    let pages = MANY.div_ceil(1000);
    assert_eq!((scene.proxy.count("GET", "list-type"), scene.proxy.asked().len()), (pages + 1, MANY + pages + 1));
}

/// The names of all files below a folder; each holds its own name, but for those that were sent otherwise.
fn files(folder: &Path) -> BTreeSet<String> {
    fn look(folder: &Path, above: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{above}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => look(&entry.path(), &format!("{name}/"), found),
                false => drop(found.insert(name)),
            }
        }
    }
    let mut found = BTreeSet::new();
    look(folder, "", &mut found);
    found
}

/// How all storages of the rig are reached.
fn rules(rig: &Rig) -> Vec<Settings> {
    use tessera_runtime::storage::secret::Secret;
    let secret = |text: &str| Some(Secret::new(text));
    let dav = rig.webdav.url.trim_end_matches('/').replacen("http", "webdav", 1);
    vec![
        Settings {
            prefix: "s3://".to_owned(),
            endpoint: Some(rig.s3.endpoint.clone()),
            region: Some(rig.s3.region.clone()),
            access_key_id: Some(rig.s3.access_key_id.clone()),
            secret_access_key: secret(&rig.s3.secret_access_key),
            ..Settings::default()
        },
        Settings {
            prefix: "gs://".to_owned(),
            endpoint: Some(rig.gcs.endpoint.clone()),
            anonymous: true,
            ..Settings::default()
        },
        Settings {
            prefix: format!("azureblob://{}", rig.azure.account),
            endpoint: Some(rig.azure.endpoint.clone()),
            account_key: secret(&rig.azure.key),
            ..Settings::default()
        },
        Settings {
            prefix: format!("ftp://{}", rig.ftp.address),
            username: Some(rig.ftp.user.clone()),
            password: secret(&rig.ftp.password),
            internal: true,
            ..Settings::default()
        },
        Settings {
            prefix: format!("sftp://{}", rig.sftp.address),
            username: Some(rig.sftp.user.clone()),
            private_key: secret(&fs::read_to_string(&rig.sftp.private_key).unwrap()),
            known_hosts: Some(fs::read_to_string(&rig.sftp.known_hosts).unwrap()),
            internal: true,
            ..Settings::default()
        },
        Settings {
            prefix: dav,
            username: Some(rig.webdav.user.clone()),
            password: secret(&rig.webdav.password),
            internal: true,
            ..Settings::default()
        },
    ]
}
