//! `bring_in` and `deliver`, in a child of this program.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tessera_runtime::plan::{PLAN_VERSION, Plan};
use tessera_runtime::stage;
use tessera_runtime::tree::Tree;

use crate::material::Material;
use crate::rig::S3;

/// From the server or to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Our side of the race.
pub(crate) struct Ours<'a> {
    pub(crate) s3: &'a S3,
    /// The server, or what stands before it.
    pub(crate) endpoint: &'a str,
    pub(crate) scratch: &'a Path,
    /// Where inputs are kept for the next task.
    pub(crate) cache: Option<&'a Path>,
}

/// What a child took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Of the whole process, as its starter sees it.
    #[serde(default)]
    pub(crate) wall_s: f64,
    pub(crate) processor_s: f64,
    pub(crate) peak_rss_mb: f64,
    /// Inputs that containers are given from where they are kept: their container paths, and where that is.
    shared: Vec<(String, PathBuf)>,
}

impl Ours<'_> {
    /// Stages the material: one file as a file, several as a directory.
    pub(crate) fn stage(&self, material: &Material, direction: Direction) -> Result<Measured> {
        let shape = material.shape;
        let (name, kind) = if shape.files == 1 { (shape.file(0), "file") } else { (String::new(), "directory") };
        match direction {
            Direction::In => {
                let url = format!("s3://{}/{}/{name}", self.s3.bucket, shape.prefix());
                let input = json!({"path": format!("/in/{name}"), "source": {"url": url}, "kind": kind});
                self.bring_in(material, shape.files, &json!([input]))
            }
            Direction::Out => {
                let url = format!("s3://{}/bench-out/{name}", self.s3.bucket);
                let output = json!({"path": format!("/{}/{name}", shape.name), "url": url, "kind": kind});
                let tree = material.folder.parent().context("the material has a parent")?;
                let measured = self.run("deliver", &self.plan(&json!([]), &json!([output])), tree)?;
                let landed = self.s3.folder.join(&self.s3.bucket).join("bench-out");
                material.arrived(&landed, shape.files)?;
                fs::remove_dir_all(landed)?;
                Ok(measured)
            }
        }
    }

    /// Stages the first so many files in, each an input of its own.
    pub(crate) fn stage_singly(&self, material: &Material, files: usize) -> Result<Measured> {
        let input = |name: String| {
            let url = format!("s3://{}/{}/{name}", self.s3.bucket, material.shape.prefix());
            json!({"path": format!("/in/{name}"), "source": {"url": url}, "kind": "file"})
        };
        let inputs: Vec<Value> = (0..files).map(|index| input(material.shape.file(index))).collect();
        self.bring_in(material, files, &json!(inputs))
    }

    /// Stages the folder in from this host's disk.
    pub(crate) fn stage_from_disk(&self, material: &Material) -> Result<Measured> {
        let url = format!("file://{}", material.folder.display());
        let input = json!({"path": "/in", "source": {"url": url}, "kind": "directory"});
        self.bring_in(material, material.shape.files, &json!([input]))
    }

    fn bring_in(&self, material: &Material, files: usize, inputs: &Value) -> Result<Measured> {
        let tree = self.scratch.join("tree");
        fs::create_dir(&tree)?;
        fs::create_dir(self.links())?;
        let measured = self.run("bring-in", &self.plan(inputs, &json!([])), &tree)?;
        if measured.shared.is_empty() {
            material.arrived(&tree.join("in"), files)?;
        }
        for (container, host) in &measured.shared {
            ensure!(measured.shared.len() == files, "{} of {files} inputs are shared", measured.shared.len());
            material.is(Path::new(container).file_name().context("a name")?, host)?;
        }
        fs::remove_dir_all(tree)?;
        fs::remove_dir_all(self.links())?;
        Ok(measured)
    }

    /// The only place here that knows how a plan is told about storages.
    fn plan(&self, inputs: &Value, outputs: &Value) -> Value {
        let rule = json!({
            "prefix": "s3://",
            "endpoint": self.endpoint,
            "region": self.s3.region,
            "access_key_id": self.s3.access_key_id,
            "secret_access_key": self.s3.secret_access_key,
        });
        let mut storage = json!({"file_roots": [self.scratch], "rules": [rule]});
        if let Some(cache) = self.cache {
            storage["cache"] = json!({"dir": cache, "max_bytes": 8_u64 << 30});
        }
        json!({
            "version": PLAN_VERSION,
            "job": "bench",
            "inputs": inputs,
            "executors": [{"image": "none", "command": ["none"]}],
            "outputs": outputs,
            "storage": storage,
        })
    }

    /// Beside the tree, as in an attempt's directory.
    fn links(&self) -> PathBuf {
        self.scratch.join("links")
    }

    fn run(&self, verb: &str, plan: &Value, tree: &Path) -> Result<Measured> {
        let file = self.scratch.join("plan.json");
        fs::write(&file, plan.to_string())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(verb).args([&file, tree, &self.links()]).stdin(Stdio::null()).stderr(Stdio::inherit());
        let began = Instant::now();
        let output = command.output().context("cannot start ourselves")?;
        let wall_s = began.elapsed().as_secs_f64();
        if !output.status.success() {
            bail!("our own `{verb}` failed ({})", output.status);
        }
        Ok(Measured { wall_s, ..serde_json::from_slice(&output.stdout)? })
    }
}

/// What runs in the child, on one thread as the node does it. What it took goes to standard output.
pub(crate) fn child(verb: &str, plan: &Path, tree: &Path, links: &Path) -> Result<()> {
    let plan = Plan::read(&fs::read(plan)?)?;
    let tree = Tree::open(tree)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut shared = Vec::new();
    runtime.block_on(async {
        match verb {
            "bring-in" => match stage::bring_in(&plan, &tree, Some(links)).await {
                Ok(brought) => {
                    shared.extend(brought.mounts.into_iter().map(|mount| (mount.container, mount.host.into())));
                    Ok(())
                }
                Err(fault) => bail!("{}", fault.message),
            },
            "deliver" => match stage::deliver(&plan, &tree, false).await.fault {
                None => Ok(()),
                Some(fault) => bail!("{}", fault.message),
            },
            other => bail!("`{other}` is neither bring-in nor deliver"),
        }
    })?;
    let measured = Measured { wall_s: 0.0, processor_s: processor_s()?, peak_rss_mb: peak_rss_mb()?, shared };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// User and system time of this process so far.
fn processor_s() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name may hold blanks; what counts comes behind it, in hundredths of a second on every Linux.
    let fields = stat.rsplit(')').next().context("no fields")?.split_whitespace();
    let ticks: Result<Vec<f64>, _> = fields.skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() / 100.0)
}

/// The most that was resident at once.
fn peak_rss_mb() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    let kb: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kb / 1024.0)
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
        })
    }
}
