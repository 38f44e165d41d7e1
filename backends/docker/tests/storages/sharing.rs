//! What a container is given of files that others have, too; and whose the files are that it leaves.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use tessera_contract::{Backend, Job};
use tessera_runtime::plan::{Input, Kind, Source};
use tessera_runtime::report::{Outcome, Report};

use crate::proxy::{Fault, Rule};
use crate::scene::{LARGE, Scene, files, input, output};

/// Runs a job; what it does to its tree is seen before it is put away.
async fn done(scene: &Scene, job: &Job, look: impl FnOnce(&std::path::Path)) -> Report {
    let backend = scene.ground.open().await;
    let handle = backend.submit(job).await.unwrap();
    let report = scene.ground.ended(&backend, &handle).await;
    look(&scene.ground.attempt(&handle).tree());
    scene.ground.put_away(&backend, &handle).await;
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_9_a_kept_input_is_mounted_and_cannot_be_changed() {
    let Some(scene) = Scene::new().await else { return };
    let content: Vec<u8> = (0..LARGE).map(|at| (at / 999) as u8).collect();
    scene.holds("in", &content).await;
    let script = "cksum < /in/file; (echo more >> /in/file) 2>&1; rm -f /in/file 2>&1; chmod 777 /in/file 2>&1; \
                  echo beside > /in/beside && cat /in/beside; cp /in/file /out/copy; ln -s /in/file /out/linked";
    let mut sums = Vec::new();
    for time in 0..2 {
        let mut job = scene.job(&[script]);
        job.plan.inputs = vec![input("/in/file", &scene.url("in"))];
        job.plan.outputs = vec![output("/out/copy", &scene.url("out")), output("/out/linked", &scene.url("linked"))];
        scene.proxy.forget();
        let report = done(&scene, &job, |tree| {
            let files = files(tree).into_iter().map(|file| file.symlink_metadata().unwrap());
            let held: u64 = files.filter(|about| about.is_file() && about.nlink() == 1).map(|about| about.len()).sum();
            assert!(held < LARGE as u64 + 1_000, "the tree holds the copy alone, not the input: {held} bytes");
        })
        .await;
        assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
        let said = &report.steps[0].stdout_tail;
        assert!(said.contains("Read-only file system") && said.ends_with("beside\n"), "{said}");
        sums.push(said.lines().next().unwrap().to_owned());
        for name in ["out", "linked"] {
            assert!(fs::read(scene.behind(name)).unwrap() == content, "what is delivered is what was fetched: {name}");
        }
        // Seldom more than one: only whether it is still the same.
        let (asked, bodies) = (scene.proxy.asked(), scene.proxy.count("GET", "/in"));
        assert_eq!(bodies == 0, time == 1, "{asked:?}");
    }
    assert_eq!(sums[0], sums[1]);
    let kept = files(&scene.ground.folder.path().join("cache/objects"));
    assert!(kept.len() == 1 && fs::read(&kept[0]).unwrap() == content, "the original is what it was: {kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_9_a_folder_that_is_open_for_writing_is_the_original() {
    let Some(scene) = Scene::new().await else { return };
    let store = scene.ground.folder.path().join("store");
    fs::create_dir_all(store.join("deep")).unwrap();
    fs::write(store.join("deep/there"), "before\n").unwrap();
    let store = store.canonicalize().unwrap();
    let at = store.display();
    let command = format!("echo after >> {at}/deep/there; mkdir {at}/new; cp {at}/deep/there {at}/new/x");
    let mut job = scene.job(&[&command]);
    job.plan.storage.file_bind_rw = vec![at.to_string()];
    let source = Source::Url(format!("file://{at}/deep"));
    job.plan.inputs = vec![Input { path: format!("{at}/deep"), source, kind: Some(Kind::Directory) }];
    let inside = store.strip_prefix("/").unwrap().join("deep/there");
    let report = done(&scene, &job, |tree| assert!(!tree.join(&inside).exists())).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    for name in ["deep/there", "new/x"] {
        assert_eq!(fs::read_to_string(store.join(name)).unwrap(), "before\nafter\n", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivered_files_belong_to_whom_they_are_meant_for() {
    let Some(scene) = Scene::new().await else { return };
    let root = rustix::process::geteuid().is_root();
    for (name, owner, wanted) in
        [("users", None, (1234, 0o644, 0o755)), ("owners", Some((4321, 99)), (4321, 0o640, 0o750))]
    {
        if owner.is_some() && !root {
            continue;
        }
        let mut job = scene.job(&["id -u; echo x > /shared/file"]);
        job.plan.limits.container_user = Some("1234:1234".to_owned());
        job.plan.storage.ownership.owner = owner;
        if owner.is_some() {
            (job.plan.storage.ownership.mode, job.plan.storage.ownership.directory_mode) = (Some(0o640), Some(0o750));
        }
        let out = scene.ground.folder.path().join(name);
        job.plan.outputs = vec![output("/shared/file", &format!("file://{}/file", out.display()))];
        let report = done(&scene, &job, |_| {}).await;
        assert_eq!((&report.outcome, &*report.steps[0].stdout_tail), (&Outcome::Complete, "1234\n"), "{report:#?}");
        let (file, folder) = (out.join("file").metadata().unwrap(), out.metadata().unwrap());
        let user = if root { wanted.0 } else { rustix::process::geteuid().as_raw() };
        assert_eq!((file.uid(), file.mode() & 0o777, folder.mode() & 0o777), (user, wanted.1, wanted.2), "{name}");
        assert_eq!(folder.uid(), user, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_a_fetch_that_would_take_long() {
    let Some(scene) = Scene::new().await else { return };
    scene.holds("in", &vec![7; LARGE]).await;
    // Months.
    let trickle = Fault::Trickle { bytes: 1, pause: Duration::from_millis(200) };
    scene.proxy.rules([Rule::new(trickle).method("GET")]);
    let mut job = scene.job(&["echo x >> /shared/started"]);
    job.plan.inputs = vec![input("/in/file", &scene.url("in"))];
    job.plan.outputs = vec![output("/shared/started", &scene.url("out"))];
    let backend = scene.ground.open().await;
    let handle = backend.submit(&job).await.unwrap();
    while scene.proxy.count("GET", "/in") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = Instant::now();
    backend.cancel(&handle).await.unwrap();
    let report = scene.ground.ended(&backend, &handle).await;
    assert_eq!(report.outcome, Outcome::Canceled, "{report:#?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    assert_eq!(scene.ground.lines(&handle, "started"), 0);
    assert!(!scene.behind("out").exists());
    backend.release(&handle).await.unwrap();
    scene.ground.gone(&handle).await;
    scene.ground.empty().await;
    let left = files(&scene.ground.folder.path().join("cache/new"));
    assert_eq!(left, [] as [std::path::PathBuf; 0], "the cache keeps no half of it");
}
