//! s5cmd and rclone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::material::Material;
use crate::ours::Direction;
use crate::rig::S3;

/// A program that copies between S3 and the disk.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    program: PathBuf,
}

impl Contender {
    pub(crate) fn s5cmd() -> Result<Self> {
        Self::named("s5cmd", "TESSERA_BENCH_S5CMD")
    }

    pub(crate) fn rclone() -> Result<Self> {
        Self::named("rclone", "TESSERA_BENCH_RCLONE")
    }

    fn named(name: &'static str, variable: &str) -> Result<Self> {
        let program = std::env::var_os(variable);
        let program =
            program.with_context(|| format!("{variable} names no {name}; tests/engines/storage builds one"))?;
        Ok(Self { name, program: program.into() })
    }

    /// Copies the material in or out; how long it took. Both ends are compared, and what was copied is removed.
    pub(crate) fn stage(&self, s3: &S3, of: &Material, direction: Direction, scratch: &Path) -> Result<Duration> {
        match direction {
            Direction::In => {
                let landing = scratch.join("landing");
                fs::create_dir(&landing)?;
                let took = self.run(s3, &remote(&of.shape.prefix()), &landing)?;
                of.arrived(&landing, of.shape.files)?;
                fs::remove_dir_all(landing)?;
                Ok(took)
            }
            Direction::Out => {
                let took = self.upload(s3, &of.folder, "bench-out")?;
                let landed = s3.folder.join(&s3.bucket).join("bench-out");
                of.arrived(&landed, of.shape.files)?;
                fs::remove_dir_all(landed)?;
                Ok(took)
            }
        }
    }

    /// Copies a folder's files to below a prefix of the bucket.
    pub(crate) fn upload(&self, s3: &S3, folder: &Path, prefix: &str) -> Result<Duration> {
        self.run(s3, folder, &remote(prefix))
    }

    fn run(&self, s3: &S3, from: &Path, to: &Path) -> Result<Duration> {
        let mut command = Command::new(&self.program);
        // Where a path stands for the bucket it gets the bucket's name here.
        let place = |path: &Path, scheme: &str| match path.strip_prefix(REMOTE) {
            Ok(prefix) => format!("{scheme}{}/{}", s3.bucket, prefix.display()),
            Err(_) => path.display().to_string(),
        };
        if self.name == "s5cmd" {
            command.env("AWS_ACCESS_KEY_ID", &s3.access_key_id).env("AWS_SECRET_ACCESS_KEY", &s3.secret_access_key);
            command.env("AWS_REGION", &s3.region).args(["--endpoint-url", &s3.endpoint, "cp"]);
            command.arg(format!("{}/*", place(from, "s3://"))).arg(format!("{}/", place(to, "s3://")));
            command.stdout(Stdio::null());
        } else {
            let settings = [
                ("TYPE", "s3"),
                ("PROVIDER", "Other"),
                ("ENDPOINT", &s3.endpoint),
                ("REGION", &s3.region),
                ("ACCESS_KEY_ID", &s3.access_key_id),
                ("SECRET_ACCESS_KEY", &s3.secret_access_key),
                ("NO_CHECK_BUCKET", "true"),
            ];
            command.envs(settings.map(|(name, value)| (format!("RCLONE_CONFIG_RIG_{name}"), value)));
            // Its default of four transfers is for the internet; no file of settings is read.
            command.args(["--config", "", "--transfers", "16", "copy"]);
            command.arg(place(from, "rig:")).arg(place(to, "rig:"));
        }
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", self.name))?;
        let took = began.elapsed();
        if !output.status.success() {
            bail!("{} failed ({}): {}", self.name, output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(took)
    }
}

const REMOTE: &str = "//remote";

fn remote(prefix: &str) -> PathBuf {
    Path::new(REMOTE).join(prefix)
}
