//! One input or output, a real server, and what stands between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tessera_runtime::plan::{Input, Kind, Output, Plan, Source};
use tessera_runtime::report::Fault;
use tessera_runtime::stage::{bring_in_from, deliver_to};
use tessera_runtime::storage::location::redacted;
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::Rule;
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::tree::Tree;

use crate::conformance::IMPATIENT;
use crate::proxy::Proxy;
use crate::rig::Rig;

/// What no message may hold: keys, tokens and passwords of the scenes, and how signatures are written.
const SECRETS: &[&str] = &["rigsecret", "not-the-secret", "not-the-token", "pa:ss", "hidden", "X-Amz-", "Signature="];
/// How long nothing may move.
const STALLED: Duration = Duration::from_millis(300);

/// A file of an S3 server that is reached through a proxy, and a tree.
pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) proxy: Proxy,
    pub(crate) plan: Plan,
    /// Of the file.
    pub(crate) url: String,
    /// The same as the server has it on its disk.
    pub(crate) behind: PathBuf,
    /// Where the tree lies; a scene may put a disk of its own there.
    pub(crate) tree: PathBuf,
    around: tempfile::TempDir,
}

impl Scene {
    /// Nothing is there yet, and nothing goes wrong.
    pub(crate) async fn new(rig: &Rig) -> Self {
        let around = tempfile::tempdir().unwrap();
        let name = format!("faults/{}", around.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.'));
        let (s3, tree) = (&rig.s3, around.path().join("tree"));
        fs::create_dir(&tree).unwrap();
        let proxy = Proxy::before(&s3.endpoint).await;
        let text = br#"{"version":1,"job":"j","executors":[{"image":"i","command":["c"]}]}"#;
        let mut plan = Plan::read(text).unwrap();
        plan.storage.rules = vec![Rule {
            prefix: "s3://".to_owned(),
            endpoint: Some(proxy.url().to_owned()),
            region: Some(s3.region.clone()),
            access_key_id: Some(s3.access_key_id.clone()),
            secret_access_key: Some(Secret::new(&s3.secret_access_key)),
            ..Rule::default()
        }];
        Self {
            proxy,
            plan,
            url: format!("s3://{}/{name}/file", s3.bucket),
            behind: s3.folder.join(&s3.bucket).join(&name).join("file"),
            tree,
            around,
            rig: rig.clone(),
        }
    }

    /// The rule of the scene.
    pub(crate) fn rule(&mut self) -> &mut Rule {
        &mut self.plan.storage.rules[0]
    }

    /// A folder of the scene's own.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.around.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Puts a file where the URL leads; not through the proxy.
    pub(crate) async fn holds(&self, content: &[u8]) {
        let mut plan = self.plan.clone();
        plan.storage.rules[0].endpoint = Some(self.rig.s3.endpoint.clone());
        let from = tempfile::tempdir().unwrap();
        fs::write(from.path().join("out"), content).unwrap();
        plan.outputs = vec![output("/out", &self.url, Kind::File)];
        let storages = Storages::new(&plan.storage, IMPATIENT);
        let sent = deliver_to(&plan, &Tree::open(from.path()).unwrap(), false, IMPATIENT, &storages).await;
        assert_eq!(sent.fault, None);
    }

    /// Puts another object beside it; answers where the server has it.
    pub(crate) async fn another(&mut self, content: &[u8]) -> PathBuf {
        let url = std::mem::take(&mut self.url);
        let other = self.behind.with_file_name(format!("other-{}", content[0]));
        self.url = url.replace("/file", &format!("/other-{}", content[0]));
        self.holds(content).await;
        self.url = url;
        other
    }

    fn storages(&self) -> Storages {
        Storages::new(&self.plan.storage, IMPATIENT).stalled_after(STALLED)
    }

    /// Brings the URL in as a file; a fault is fair and leaves nothing behind.
    pub(crate) async fn fetch(&mut self) -> Result<Vec<u8>, Fault> {
        self.fetch_as(Kind::File).await.map(|()| fs::read(self.tree.join("in")).unwrap())
    }

    /// The same for either kind.
    pub(crate) async fn fetch_as(&mut self, kind: Kind) -> Result<(), Fault> {
        let source = Source::Url(self.url.clone());
        self.plan.inputs = vec![Input { path: "/in".to_owned(), source, kind: Some(kind) }];
        let tree = Tree::open(&self.tree).unwrap();
        let brought = bring_in_from(&self.plan, &tree, None, IMPATIENT, &self.storages()).await;
        if let Err(fault) = &brought {
            self.fair(fault);
            assert!(!self.tree.join("in").is_file(), "something has the input's name");
        }
        brought.map(drop)
    }

    /// Delivers this content to the URL; a fault is fair.
    pub(crate) async fn deliver(&mut self, content: &[u8]) -> Result<(), Fault> {
        fs::write(self.tree.join("out"), content).unwrap();
        self.plan.outputs = vec![output("/out", &self.url, Kind::File)];
        let tree = Tree::open(&self.tree).unwrap();
        let sent = deliver_to(&self.plan, &tree, false, IMPATIENT, &self.storages()).await;
        match sent.fault {
            Some(fault) => {
                self.fair(&fault);
                assert_eq!(sent.files, [], "what failed is not reported as delivered");
                Err(fault)
            }
            None => Ok(()),
        }
    }

    /// A sentence with the URL and without secrets.
    fn fair(&self, fault: &Fault) {
        let shown = redacted(&self.url);
        assert!(fault.message.contains(&shown), "`{shown}` is not in: {}", fault.message);
        for secret in SECRETS {
            assert!(!fault.message.contains(secret), "`{secret}` is in: {}", fault.message);
        }
    }
}

/// One output.
pub(crate) fn output(path: &str, url: &str, kind: Kind) -> Output {
    Output { path: path.to_owned(), url: url.to_owned(), path_prefix: None, kind: Some(kind) }
}

/// Puts a server's file in the place of another one, with what the server noted about it.
pub(crate) fn replace(file: &Path, by: &Path) {
    let new = file.with_extension(format!("{:?}", std::thread::current().id()));
    let copied = Command::new("cp").arg("--preserve=all").args([by, &new]).status().unwrap();
    assert!(copied.success());
    fs::rename(new, file).unwrap();
}

/// A small disk in memory, there until it is dropped. Mounting takes root, or `sudo` that asks nothing.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one of so many MiB at a folder; without the right to, the test is over, or fails where storages are
    /// required.
    pub(crate) fn at(folder: &Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m,mode=1777");
        let mounted = as_root(&["mount", "-t", "tmpfs", "-o", &size, "tessera-test"], folder);
        if mounted {
            return Some(Self(folder.to_owned()));
        }
        assert!(std::env::var_os("TESSERA_REQUIRE_STORAGES").is_none(), "a small disk is required: it takes root");
        eprintln!("cannot run without the right to mount a small disk");
        None
    }

    /// From now on nothing can be written to it.
    pub(crate) fn protect(&self) {
        assert!(as_root(&["mount", "-o", "remount,ro"], &self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        as_root(&["umount", "--lazy"], &self.0);
    }
}

fn as_root(words: &[&str], folder: &Path) -> bool {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { words[0] } else { "sudo" });
    if !root {
        command.arg("-n").arg(words[0]);
    }
    command.args(&words[1..]).arg(folder).status().is_ok_and(|status| status.success())
}
