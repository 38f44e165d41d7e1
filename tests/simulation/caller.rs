//! Those who ask: they create, create once, cancel, get and list, and know what they were promised.

use tessera::store::{Created, Key, ListQuery, Recorded, Store};
use tessera::task::spec::{Executor, Input, Resources};
use tessera::task::{Owner, Phase, TaskId, TaskSpec};

use crate::invariants::Invariant;
use crate::several::{Shared, moment};

/// A promise that a caller was given.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) task: TaskId,
    pub(crate) spec: TaskSpec,
    /// What the task showed when its cancel was acknowledged, if it was.
    pub(crate) canceled: Option<Phase>,
}

/// Who asks, with a number of their own.
pub(crate) struct Caller {
    pub(crate) shared: Shared,
    pub(crate) number: u64,
    pub(crate) promises: std::sync::Arc<std::sync::Mutex<Vec<Promise>>>,
}

impl Caller {
    fn name(&self) -> String {
        format!("caller-{}", self.number)
    }

    fn owner(&self) -> Owner {
        Owner(["ann", "bob"][usize::from(self.number.is_multiple_of(3))].to_owned())
    }

    /// Asks for one task, and then about it, until it has seen enough.
    pub(crate) async fn run(self) {
        self.shared.sleep(self.shared.below(40_000)).await;
        let spec = self.spec();
        let Some(task) = self.create(&spec).await else { return };
        let owner = self.owner();
        self.shared.tell(&self.name(), Some(&task), || "was told that the task is created".to_owned());
        let promise = Promise { task: task.clone(), spec: spec.clone(), canceled: None };
        self.promises.lock().unwrap().push(promise);
        let mut ended: Option<Phase> = None;
        let wants_it = self.shared.below(3) != 0;
        for _ in 0..self.shared.between(2, 12) {
            let most = if wants_it { 15_000 } else { *self.shared.lock().dice.pick(&[500, 5_000, 15_000]) };
            self.shared.sleep(self.shared.below(most)).await;
            let Some(store) = self.shared.any_door() else { continue };
            match self.shared.below(4) {
                0 | 1 if !wants_it => self.cancel(&task).await,
                2 => {
                    let Ok(page) = store.list(&owner, &ListQuery { size: 1_000, ..ListQuery::default() }).await else {
                        continue;
                    };
                    if page.items.iter().all(|one| one.id != task) {
                        self.lost(&task, "the list of its owner does not show it");
                    }
                }
                _ => {
                    let Ok(shown) = store.summary(&owner, &task).await else { continue };
                    let Some(shown) = shown else {
                        self.lost(&task, "there is no such task any more");
                        continue;
                    };
                    if ended.is_some_and(|ended| ended != shown.phase) {
                        let said = || format!("it was shown as {ended:?}, and now as {:?}", shown.phase);
                        self.shared.broken(Invariant::TerminalStands, Some(&task), said);
                    }
                    ended = Some(shown.phase).filter(|phase| phase.is_terminal());
                }
            }
        }
    }

    fn lost(&self, task: &TaskId, what: &str) {
        self.shared.broken(Invariant::NothingIsLost, Some(task), || what.to_owned());
    }

    /// The id that was promised; `None` when nobody promised anything.
    async fn create(&self, spec: &TaskSpec) -> Option<TaskId> {
        let owner = self.owner();
        let key = Key::parse(&format!("key-{}", self.number / 2)).filter(|_| self.shared.below(2) == 0);
        for again in 0..20 {
            let now_ms = self.shared.now_ms();
            let id = TaskId::parse(&format!("{now_ms:012}a{:08}b{again:04}", self.number))?;
            let Some(store) = self.shared.any_door() else {
                self.shared.sleep(2_000).await;
                continue;
            };
            self.shared.tell(&self.name(), Some(&id), || format!("asks to create it (key {key:?})"));
            let told = match &key {
                Some(key) => store.create_once(&owner, key, &id, moment(now_ms), spec.clone()).await,
                None => store.create(&owner, &id, moment(now_ms), spec.clone()).await.map(|()| Created::New),
            };
            match told {
                Ok(Created::New) => return Some(id),
                Ok(Created::Known(known)) => return Some(known),
                // The neighbour with the same key asked for something else.
                Ok(Created::Differs) => return None,
                // Without a key nobody knows whether the task is there; whoever asks again, asks for another.
                Err(_) if key.is_none() => return None,
                Err(_) => self.shared.sleep(1_000).await,
            }
        }
        None
    }

    /// Asks until it is acknowledged.
    async fn cancel(&self, task: &TaskId) {
        let owner = self.owner();
        for _ in 0..10 {
            let Some(store) = self.shared.any_door() else { return };
            let shown = self.shared.below(2) == 0;
            match store.request_cancel(&owner, task, self.shared.now(), shown).await {
                Ok(Some(Recorded::Moved(phase) | Recorded::Unchanged(phase))) => {
                    self.shared.tell(&self.name(), Some(task), || format!("was told that it is cancelled ({phase:?})"));
                    let mut promises = self.promises.lock().unwrap();
                    if let Some(promise) = promises.iter_mut().find(|one| one.task == *task) {
                        promise.canceled = promise.canceled.or(Some(phase));
                    }
                    return;
                }
                Ok(Some(Recorded::Conflict)) | Err(_) => self.shared.sleep(500).await,
                Ok(Some(Recorded::Refused(_) | Recorded::Fenced | Recorded::Unknown) | None) => {
                    return self.lost(task, "its cancel was refused");
                }
            }
        }
    }

    fn spec(&self) -> TaskSpec {
        let mut inner = self.shared.lock();
        let dice = &mut inner.dice;
        let most = *dice.pick(&[100, 3_000, 20_000, 60_000]);
        let run = dice.below(most).to_string();
        let endings: [&[&str]; 10] = [
            &["run-ms", &run],
            &["run-ms", &run, "exit", "3"],
            &["true"],
            &["hang"],
            &["stubborn-ms", "3000", "run-ms", &run],
            &["fault-until", "2", "unavailable", "not now"],
            &["preempted-until", "2", "run-ms", &run],
            &["fault", "rejected", "never"],
            &["run-ms", &run, "fault", "lost", "gone"],
            &["run-ms", &run],
        ];
        let step = |words: &[&str]| Executor {
            image: "scripted".to_owned(),
            command: ["count", &format!("mark-{}", self.number)]
                .iter()
                .chain(words)
                .map(|it| (*it).to_owned())
                .collect(),
            ..Executor::default()
        };
        let mut executors = vec![step(dice.pick::<&[&str]>(&endings))];
        if dice.one_in(3) {
            executors.push(step(dice.pick::<&[&str]>(&endings)));
        }
        let staging =
            ["wait-ms/5000", "stage-ms/3000", "fault-until/2/lost", "fault-until/3/unavailable", "fault/rejected"];
        let inputs = (0..dice.below(2)).map(|_| Input {
            path: "/in".to_owned(),
            url: Some(format!("scripted:{}", dice.pick(&staging))),
            ..Input::default()
        });
        let inputs = inputs.collect();
        let wanted = *dice.pick(&[
            None,
            None,
            None,
            Some("alpha"),
            Some("beta"),
            Some("docker"),
            Some("docker"),
            Some("nowhere"),
        ]);
        let backend_parameters = wanted.map(|name| [("backend".to_owned(), name.to_owned())].into());
        let cpu_cores = *dice.pick(&[None, Some(1.0), Some(2.0), Some(99.0)]);
        let cpu_cores = cpu_cores.filter(|cores| *cores < 9.0 || dice.one_in(4));
        let resources = Some(Resources { cpu_cores, backend_parameters, ..Resources::default() });
        TaskSpec { name: Some(format!("of-{}", self.number)), inputs, executors, resources, ..TaskSpec::default() }
    }
}
