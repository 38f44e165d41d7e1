"""Sprocket itself, unmodified: a WDL workflow of scattered tasks, one that fails, and one that is interrupted."""

import json
import signal
import subprocess
from pathlib import Path

from world import ENDS, PATIENCE, poll

WDL = Path(__file__).resolve().parent / "hello.wdl"


class Run:
    """`sprocket run` of a target in hello.wdl, as long as the `with` goes on; what it says goes to files."""

    def __init__(self, world, target, *inputs):
        self.world = world
        # It copies local inputs to `inputs` itself, and makes no folders there.
        for kind in ("file", "directory"):
            (world.folder / "inputs" / kind).mkdir(parents=True)
        config = world.folder / "sprocket.toml"
        config.write_text(
            '[run]\nbackend = "tessera"\n\n[run.backends.tessera]\ntype = "tes"\nservice = "%s/ga4gh/tes/v1"\n'
            'inputs = "file://%s/inputs/"\noutputs = "file://%s/outputs/"\ninterval = 1\ninsecure = true\n'
            % (world.url, world.folder, world.folder)
        )
        argv = [world.program, "--skip-config-search", "--config", config, "run", WDL, "--target", target, *inputs,
                "--output-dir", world.folder / "out"]
        self.out, self.err = world.folder / "sprocket.out", world.folder / "sprocket.err"
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen(argv, stdout=out, stderr=err, cwd=world.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Over already, unless something has failed.
        self.process.kill()
        self.process.wait()

    def end(self):
        try:
            self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end: " + self.err.read_text())
        return self.process.returncode, self.out.read_text(), self.err.read_text()

    def said(self, words, after):
        """Waits until it has said so, behind so many characters."""
        def look():
            # Whether it has ended is asked first: then all that it said can be read.
            over = self.process.poll() is not None
            said = self.err.read_text()[after:]
            assert words in said or not over, "it ended by itself: " + said
            return said
        poll(look, lambda said: words in said, "the words " + words, seconds=PATIENCE)

    def tasks(self, name):
        return self.world.ok("GET", "/v1/tasks?view=BASIC&name_prefix=" + name)["tasks"]


def rule_9_3_and_12_3_a_workflow_with_a_scatter(world):
    """Files go up, are shouted in parallel, and are counted; outputs are URLs that Sprocket reads by itself."""
    texts = ["texts=" + world.write(name, text) for name, text in (("a b.txt", "a\nb\n"), ("c.txt", "c\n"))]
    with Run(world, "hello", *texts) as run:
        code, out, err = run.end()
    assert code == 0, out + err
    outputs = json.loads(out[out.index("{"): out.rindex("}") + 1])
    assert outputs["hello.lines"] == 3, outputs
    read = [Path(url.removeprefix("file://")).read_text() for url in outputs["hello.shouted"]]
    assert read == ["A\nB\n", "C\n"], read


def rule_10_3_a_task_that_fails(world):
    """Its exit code and its standard error are shown."""
    with Run(world, "broken") as run:
        code, out, err = run.end()
    assert code != 0 and "exit code 3" in out + err and "cannot go on" in out + err, out + err


def rule_14_6_a_run_is_interrupted(world):
    """Ctrl-C once: running tasks are waited for; twice: they are cancelled."""
    with Run(world, "sleeps") as run:
        running = poll(lambda: run.tasks("sleeps"), lambda tasks: tasks and tasks[0]["state"] == "RUNNING", "a running task")
        before = len(run.err.read_text())
        run.process.send_signal(signal.SIGINT)
        # It says so when it has understood; only a second one after that cancels.
        run.said("waiting", after=before)
        run.process.send_signal(signal.SIGINT)
        code, out, err = run.end()
    assert code != 0, out + err
    look = lambda: world.ok("GET", "/v1/tasks/" + running[0]["id"])["state"]
    assert poll(look, lambda seen: seen in ENDS, "its end") == "CANCELED"


STORIES = [rule_9_3_and_12_3_a_workflow_with_a_scatter, rule_10_3_a_task_that_fails, rule_14_6_a_run_is_interrupted]
