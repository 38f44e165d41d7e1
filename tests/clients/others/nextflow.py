"""A stand-in for Nextflow with nf-ga4gh: what its task handler sends for a process, and how it reads the answers.

A process has a work directory of its own on a file system that the server shares. Two control files go in, four come
out, whatever the process itself declares; all URLs are bare paths. The task's wrapper runs under `bash` and `tee`.
"""

import json
import os

from world import BASH, poll

# Optional outputs need not come (TES contract 10.2).
POLICY = '\n[policy]\nmissing_output = "ignore"\n'
WORK = "/work"
# What the handler knows.
ENDED = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
STARTED = ("INITIALIZING", "RUNNING", "PAUSED") + ENDED
# No view is asked for while polling.
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class Process:
    """One task of a pipeline."""

    def __init__(self, world, name, script, inputs=(), outputs=(), bin_scripts=()):
        self.world, self.name = world, name
        self.folder = world.folder / "work" / name
        self.folder.mkdir(parents=True)
        (self.folder / ".command.sh").write_text("#!/bin/bash -ue\n" + script)
        path = 'mkdir -p $PWD/nextflow-bin/\ncp -r %s/* $PWD/nextflow-bin/\nchmod +x $PWD/nextflow-bin/* || true\n' \
            "export PATH=$PWD/nextflow-bin:$PATH\n" % world.folder.joinpath("bin") if bin_scripts else ""
        # In short what its template does: streams through named pipes, the exit code into a file, ps for the trace.
        (self.folder / ".command.run").write_text(
            "#!/bin/bash\nset -e\nset -u\nNXF_CHDIR=%s\nps -o pid= >/dev/null\n"
            "on_exit() { exit_status=${nxf_main_ret:=$?}; printf -- $exit_status > .exitcode; exit $exit_status; }\n"
            "trap on_exit EXIT\ncd $NXF_CHDIR\n%s"
            "nxf_start=$(date +%%s%%3N)\nset +e\n"
            "(/bin/bash -ue .command.sh) > >(tee .command.out) 2> >(tee .command.err >&2)\n"
            "nxf_main_ret=$?\nwait\n" % (WORK, path)
        )
        inputs = [(name, path) for name, path in inputs]
        self.task = {
            "name": name,
            "inputs": [self.bring(self.folder / ".command.sh"), self.bring(self.folder / ".command.run")]
            + [{"url": str(path), "path": str(path), "type": "FILE"} for path in bin_scripts]
            + [self.bring(path, name) for name, path in inputs],
            "outputs": [self.out(name, "FILE") for name in (".command.out", ".command.err", ".command.log", ".exitcode")]
            + [self.out(pattern, kind) for pattern, kind in outputs],
            "resources": {"cpu_cores": 1, "ram_gb": 0.25, "disk_gb": None, "backend_parameters_strict": False},
            "executors": [{
                "image": BASH,
                "command": ["bash", "-o", "pipefail", "-c", "bash %s/.command.run 2>&1 | tee %s/.command.log" % (WORK, WORK)],
                "workdir": WORK,
            }],
            "tags": {"team": "tests"},
        }

    def bring(self, path, name=None):
        kind = "DIRECTORY" if os.path.isdir(path) else "FILE"
        return {"url": str(path), "path": "%s/%s" % (WORK, name or os.path.basename(path)), "type": kind}

    def out(self, pattern, kind):
        if "*" in pattern or "?" in pattern:
            return {"path": "%s/%s" % (WORK, pattern), "path_prefix": WORK, "url": str(self.folder), "type": kind}
        return {"path": "%s/%s" % (WORK, pattern), "url": str(self.folder / pattern), "type": kind}

    def submit(self):
        self.id = self.world.ok("POST", "/v1/tasks", json.dumps(self.task).encode(), JSON)["id"]
        return self

    def state(self):
        seen = self.world.ok("GET", "/v1/tasks/" + self.id, headers=JSON)["state"]
        # A word that it does not know is null there: neither started nor ended, so it asks again.
        return seen if seen in STARTED + ("QUEUED",) else None

    def end(self):
        """The exit status, as its handler makes it."""
        poll(self.state, lambda seen: seen in ENDED, "the end of " + self.name)
        task = self.world.ok("GET", "/v1/tasks/%s?view=FULL" % self.id, headers=JSON)
        if task["state"] == "COMPLETE":
            return 0
        log = task["logs"][0]
        return log["logs"][0]["exit_code"] if task["state"] == "EXECUTOR_ERROR" else 1

    def text(self, name):
        return (self.folder / name).read_text()


def rule_9_2_and_10_8_a_pipeline_of_two_processes(world):
    """Files in a second process come from the first one's work directory; a directory and globs come out."""
    reads = world.write("reads/a.txt", "b\na\n")
    folder = world.write("genome/chr1", "ACGT\n")
    script = world.write("bin/shout.sh", "#!/bin/bash\ntr a-z A-Z\n")
    first = Process(
        world, "split (1)", "sort a.txt | shout.sh > part_1.txt\ncp genome/chr1 part_2.txt\nmkdir outdir\n"
        "echo in > outdir/x\necho said\necho warned >&2\n",
        inputs=[("a.txt", reads), ("genome", os.path.dirname(folder))],
        outputs=[("part_*.txt", "FILE"), ("outdir", "DIRECTORY"), ("optional.txt", "FILE"), ("{none,part_1}.txt", "FILE")],
        bin_scripts=[script],
    ).submit()
    assert first.end() == 0, first.text(".command.log")
    assert first.text("part_1.txt") == "A\nB\n" and first.text("part_2.txt") == "ACGT\n"
    assert first.text("outdir/x") == "in\n"
    assert first.text(".exitcode") == "0" and first.text(".command.out") == "said\n"
    assert first.text(".command.err") == "warned\n" and "said\n" in first.text(".command.log")
    second = Process(
        world, "join (1)", "cat part_1.txt part_2.txt > all.txt\n",
        inputs=[("part_1.txt", first.folder / "part_1.txt"), ("part_2.txt", first.folder / "part_2.txt")],
        outputs=[("all.txt", None)],
    ).submit()
    assert second.end() == 0
    assert second.text("all.txt") == "A\nB\nACGT\n"
    # What came in from the first work directory is as it was.
    assert first.text("part_1.txt") == "A\nB\n"


def rule_10_3_a_process_that_fails(world):
    """Its exit code is the task's, and everything that Nextflow shows of it has come back."""
    process = Process(world, "broken", "echo before\necho why >&2\nexit 42\n", outputs=[("never.txt", "FILE")]).submit()
    assert process.end() == 42
    assert process.text(".exitcode") == "42"
    assert process.text(".command.err") == "why\n" and process.text(".command.out") == "before\n"


def rule_10_2_an_output_that_never_came(world):
    """A missing output is for Nextflow to judge, where the server is told to leave that to it."""
    process = Process(world, "forgot", "true\n", outputs=[("never.txt", "FILE"), ("no_*.txt", "FILE")]).submit()
    assert process.end() == 0
    assert not (process.folder / "never.txt").exists()


def rule_14_6_the_pipeline_is_interrupted(world):
    """Ctrl-C: every task that runs is cancelled, with a JSON Content-Type and no body."""
    running = [Process(world, "sleeps-%d" % number, "sleep 600\n").submit() for number in range(3)]
    poll(running[0].state, lambda seen: seen == "RUNNING", "a running task")
    for process in running:
        assert world.ok("POST", "/v1/tasks/%s:cancel" % process.id, b"", JSON) == {}
    for process in running:
        assert process.end() == 1
        assert process.state() == "CANCELED"


def rule_17_1_a_refusal_is_shown_to_its_user(world):
    """The body of a refusal is all that a Nextflow user sees."""
    process = Process(world, "refused", "true\n")
    process.task["executors"][0]["image"] = ""
    status, text = world.ask("POST", "/v1/tasks", json.dumps(process.task).encode(), JSON)
    assert status == 400 and "image" in json.loads(text)["message"] + json.loads(text)["field"], text


STORIES = [
    rule_9_2_and_10_8_a_pipeline_of_two_processes,
    rule_10_3_a_process_that_fails,
    rule_10_2_an_output_that_never_came,
    rule_14_6_the_pipeline_is_interrupted,
    rule_17_1_a_refusal_is_shown_to_its_user,
]
