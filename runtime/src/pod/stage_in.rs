//! The verb `stage-in`: all that is there before the first executor's container begins.
//!
//! It may be begun again at any time, as a kubelet does that was restarted: what is there stays there, and once a
//! command may have been started nothing of the task is touched any more.
//!
//! A root that is open for writing is mounted on a host as it lies, so that what a command writes into it stays. A
//! running pod can be given no mount, and a copy would lose what is written: an input that asks for such a directory
//! at its own path is refused here. At another path it is a copy everywhere, and here as well.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use super::places::{Places, RUNTIME_NAME};
use super::plan;
use super::process::{DONE, FAILED, fail, journal, run};
use super::say::say;
use crate::course::ending::storages;
use crate::course::patience::shown;
use crate::course::trouble::Trouble;
use crate::doing::Work;
use crate::layout::Layout;
use crate::node::attempt::{self, Attempt, Keep, Mark};
use crate::node::journal::Journal;
use crate::places::normal;
use crate::plan::{Input, Plan, Source};
use crate::report::{Fault, FaultClass, Outcome};
use crate::stage;
use crate::step::StepFile;
use crate::storage::location::{Location, redacted};
use crate::storage::trouble::Patience;
use crate::tree::Tree;

/// The verb: `stage-in`.
pub fn main(arguments: &[String]) -> ExitCode {
    let places = Places::of(arguments);
    run(async || stage_in(&places).await)
}

async fn stage_in(places: &Places) -> u8 {
    let attempt = Attempt::at(&places.attempt);
    let plan = match plan::get(places, &attempt).await {
        Ok(plan) => plan,
        Err(trouble) => return fail(places, None, trouble, false).await,
    };
    let journal = match journal(&attempt, &plan) {
        Ok(journal) => journal,
        Err(trouble) => return fail(places, Some(&plan), trouble, false).await,
    };
    journal.show();
    let Err(trouble) = (StageIn { places, attempt: &attempt, plan: &plan, journal: &journal }).run().await else {
        journal.show();
        return DONE;
    };
    journal.note(trouble.message.clone());
    let fault = Fault { class: trouble.class, message: trouble.message, user_code_started: false };
    let report = journal.report(Outcome::Failed(fault), Vec::new(), []);
    if let Some(log) = journal.log() {
        say(places, Some(&plan), log, report).await;
    }
    FAILED
}

struct StageIn<'a> {
    places: &'a Places,
    attempt: &'a Attempt,
    plan: &'a Plan,
    journal: &'a Journal,
}

impl StageIn<'_> {
    async fn run(&self) -> Result<(), Trouble> {
        let layout = Layout::of(self.plan).map_err(|error| {
            Trouble::new(FaultClass::Rejected, format!("the task's paths cannot be laid out: {error}"))
        })?;
        lay_out_runtime(&self.places.bin)
            .map_err(|error| Trouble::disk("laying the runtime out", &self.places.bin, &error))?;
        let root = self.attempt.tree();
        let disk = |error: io::Error| Trouble::disk("preparing the task's tree", &root, &error);
        std::fs::create_dir_all(&root).map_err(disk)?;
        if self.command_started() {
            return Ok(());
        }
        for index in 0..self.plan.executors.len() {
            let step = StepFile { in_turn: true, ..layout.step_file(self.plan, index) };
            let at = self.attempt.step(step.step);
            self.attempt.prepare_step(&step).map_err(|error| Trouble::disk("preparing a step", &at, &error))?;
        }
        let tree = Tree::open(&root).map_err(disk)?;
        if !self.attempt.has(attempt::STAGED).map_err(disk)? {
            tree.prepare(&layout).map_err(disk)?;
            self.bring_in(&tree).await?;
        }
        for mount in &layout.mounts {
            tree.mount_source(mount).map_err(|error| {
                let message = format!("`{}` cannot be mounted from the task's tree: {error}", mount.container);
                Trouble::new(FaultClass::Rejected, message)
            })?;
        }
        let staged: [(); 0] = [];
        self.attempt.replace(attempt::STAGED, &staged, Keep::Lightly).map_err(disk)
    }

    /// Whether a command may have been started: a mark that cannot be looked at counts.
    fn command_started(&self) -> bool {
        (0..self.plan.executors.len()).filter_map(|step| u32::try_from(step).ok()).any(|step| {
            match self.attempt.open_step(step) {
                Ok(dir) => !matches!(dir.mark(), Ok(Mark::None)),
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            }
        })
    }

    async fn bring_in(&self, tree: &Tree) -> Result<(), Trouble> {
        if let Some(refused) = self.plan.inputs.iter().find_map(|input| wants_in_place(self.plan, input)) {
            return Err(Trouble::new(FaultClass::Rejected, refused));
        }
        let (storages, moved) = storages(self.plan, Patience::DOWNLOAD);
        let fetch = stage::bring_in_from(self.plan, tree, None, Patience::DOWNLOAD, &storages);
        let brought = shown(self.journal, || Work::fetching(moved.look()), fetch).await;
        for note in brought.map_err(|fault| Trouble::new(fault.class, fault.message))?.notes {
            self.journal.note(note);
        }
        Ok(())
    }
}

/// Why an input is refused that asks for a directory itself and not for a copy.
fn wants_in_place(plan: &Plan, input: &Input) -> Option<String> {
    let Source::Url(url) = &input.source else { return None };
    let Ok(Location::Host(from)) = Location::parse(url) else { return None };
    let (from, at) = (from.to_read(), normal(&input.path)?);
    let open = plan.storage.file_bind_rw.iter().any(|root| from.starts_with(root));
    (open && from == Path::new(&at) && from.is_dir()).then(|| {
        format!(
            "input `{at}` from `{}`: the directory is open for writing, and a pod gets copies only; ask for it at \
             another path, or for its files one by one",
            redacted(url)
        )
    })
}

/// Puts a copy of this very program where the containers of the executors find it.
fn lay_out_runtime(bin: &Path) -> io::Result<()> {
    let new = bin.join(format!(".{RUNTIME_NAME}.new"));
    std::fs::create_dir_all(bin)?;
    let _former = std::fs::remove_file(&new);
    let mut to = File::create_new(&new)?;
    io::copy(&mut File::open("/proc/self/exe")?, &mut to)?;
    to.set_permissions(Permissions::from_mode(0o755))?;
    drop(to);
    std::fs::rename(new, bin.join(RUNTIME_NAME))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn rule_9_9_what_would_have_to_be_mounted_is_refused_and_copies_are_not() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::write(root.join("file"), "x").unwrap();
        let root = root.to_str().unwrap();
        let refused = |from: &str, at: &str, open: &[&str]| {
            let plan = json!({"version": 1, "job": "t-1", "executors": [{"image": "a", "command": ["true"]}],
                "inputs": [{"path": at, "source": {"url": from}}],
                "storage": {"file_roots": [root], "file_bind_rw": open}});
            let plan: Plan = serde_json::from_value(plan).unwrap();
            wants_in_place(&plan, &plan.inputs[0])
        };
        let sentence = refused(root, root, &[root]).unwrap();
        assert!(sentence.contains("a pod gets copies only"), "{sentence}");
        assert!(refused(&format!("file://{root}"), &format!("{root}/"), &[root]).is_some());
        assert!(refused(root, "/data", &[root]).is_none(), "elsewhere it is a copy on a host as well");
        assert!(refused(root, root, &[]).is_none(), "it is not open for writing");
        let file = format!("{root}/file");
        assert!(refused(&file, &file, &[root]).is_none(), "files are always copied");
    }
}
