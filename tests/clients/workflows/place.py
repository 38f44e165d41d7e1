"""Where one engine works: its own server, a folder below a root of that server, and the Python that has the engine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from around import docker  # noqa: E402
from speakers import ENDS, ask_plainly, poll  # noqa: E402

# An engine looks after its jobs every few seconds; Snakemake's plug-in for the first time after 40.
PATIENCE = 240


class Place:
    def __init__(self, name, story, url, folder, python):
        self.story, self.url, self.folder, self.python = story, url, folder, Path(python)
        # What a user has written, and the data.
        shutil.copytree(HERE / name, folder)
        (folder / "data").mkdir()
        (folder / "data" / "words.txt").write_text("one\ntwo\nthree\n")

    def program(self, name):
        return self.python.parent / name

    def read(self, name):
        path = self.folder / name
        assert path.exists(), "%s was not delivered; there is %s" % (path, sorted(os.listdir(path.parent)))
        return path.read_text()

    def run(self, *argv, **env):
        """The engine, to its end: its exit code and what it said."""
        engine = self._start(argv, env)
        try:
            said = engine.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            os.killpg(engine.pid, signal.SIGKILL)
            raise AssertionError("not done in %d s: %s" % (PATIENCE, engine.communicate()[0]))
        return engine.returncode, said

    def interrupted(self, task_name, *argv, **env):
        """The engine, and a Ctrl-C as soon as the task of this name runs: the task's id and what was said."""
        engine = self._start(argv, env)
        try:
            self.until(task_name, "RUNNING")
            os.killpg(engine.pid, signal.SIGINT)
            said = engine.communicate(timeout=PATIENCE)[0]
        finally:
            if engine.poll() is None:
                os.killpg(engine.pid, signal.SIGKILL)
                print(engine.communicate()[0])
        return self.task(task_name)["id"], said

    def _start(self, argv, env):
        # The engine's children get the Ctrl-C of a terminal, too: one process group.
        words = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **env}
        return subprocess.Popen(
            [str(word) for word in argv], cwd=self.folder, env=words, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )

    def tasks(self, name=""):
        """The tasks whose names begin so, in full, newest first."""
        return ask_plainly(self.url, "/tasks?view=FULL&name_prefix=" + name.replace("'", "%27"))["tasks"]

    def task(self, name):
        found = self.tasks(name)
        assert len(found) == 1, "%d tasks are called %s…, not one: %s" % (len(found), name, shown(found))
        return found[0]

    def until(self, name, state):
        poll(lambda: [task["state"] for task in self.tasks(name)], lambda seen: seen == [state], PATIENCE, "%s of %s" % (state, name))

    def gone(self, task_id):
        """The task has to be cancelled, soon, and then nothing of it may run."""
        look = lambda: ask_plainly(self.url, "/tasks/%s?view=MINIMAL" % task_id)["state"]
        state = poll(look, lambda seen: seen in ENDS, 15, "the end of " + task_id)
        running = docker("ps", "--no-trunc", "--filter", "label=tessera.job", "--format", '{{.Label "tessera.job"}}')
        assert state == "CANCELED", "%s is %s" % (task_id, state)
        assert task_id not in running, "CANCELED was said while it ran"

    def release(self):
        """Ends what a story that failed half-way has left, and shows what there was."""
        tasks = self.tasks()
        for task in tasks:
            cancel(self.url, task["id"])
        return shown([{key: task.get(key) for key in ("name", "state", "logs")} for task in tasks])

    def ended(self, *names_and_states):
        """Exactly these tasks there are, in any order."""
        for name, state in names_and_states:
            task = self.task(name)
            assert task["state"] == state, "%s was expected of %s" % (state, shown(task))
        found = len(self.tasks())
        assert found == len(names_and_states), "%d tasks, not %d: %s" % (found, len(names_and_states), shown(self.tasks()))


def cancel(url, task_id):
    """Through TES, for an engine that has no word for it."""
    done = subprocess.run(
        ["curl", "--silent", "--fail", "--max-time", "20", "-X", "POST", "%s/ga4gh/tes/v1/tasks/%s:cancel" % (url, task_id)],
        check=True, capture_output=True, text=True,
    )
    assert json.loads(done.stdout) == {}, done.stdout


def codes(task):
    return [log["exit_code"] for log in task["logs"][0]["logs"]]


def shown(value):
    return json.dumps(value, indent=1)
