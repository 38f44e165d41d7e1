"""A stand-in for Cromwell's TES backend: its mirror tree, its script, its globs, and its parser of answers.

It is configured with the full URL of `…/tasks`; whatever HTTP error comes is final for the call.
"""

import json

from world import BASH, poll

# Optional outputs need not come (TES contract 10.2).
POLICY = '\n[policy]\nmissing_output = "ignore"\n'
CALL = "/cromwell-executions/hello/%s/call-%s"
ENDED = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "CANCELLED")


class Call:
    """A call of a task in a workflow."""

    def __init__(self, world, name, command, inputs=(), files=(), globs=()):
        self.world, self.name = world, name
        root = CALL % ("0b5c1f2e", name)
        self.inside = root + "/execution"
        self.folder = world.folder / root.lstrip("/") / "execution"
        self.folder.mkdir(parents=True)
        script = (
            "#!/bin/bash\n\ncd %(x)s\ntmpDir=$(mktemp -d %(x)s/tmp.XXXXXX)\nexport TMPDIR=\"$tmpDir\"\n"
            "out=\"${tmpDir}/out.$$\" err=\"${tmpDir}/err.$$\"\nmkfifo \"$out\" \"$err\"\n"
            "tee %(x)s/stdout.tee < \"$out\" &\ntee %(x)s/stderr.tee < \"$err\" >&2 &\n"
            "(\ncd %(x)s\n%(command)s\n) > \"$out\" 2> \"$err\"\necho $? > %(x)s/rc.tmp\nwait\n%(globs)s"
            "sync\nmv %(x)s/rc.tmp %(x)s/rc\n"
        ) % {"x": self.inside, "command": command, "globs": "".join(self.glob(*one) for one in globs)}
        outputs = [self.out(name, "FILE") for name in files]
        for _, glob in globs:
            outputs += [self.out(glob + "/", "DIRECTORY"), self.out(glob + ".list", "FILE")]
        outputs += [self.out(name, "FILE") for name in ("rc", "stdout", "stderr")]
        # The script is both: it comes in as a content and goes out as a file.
        outputs.append(self.out("script", "FILE"))
        self.task = {
            "id": None, "state": None, "logs": None, "volumes": None,
            "name": "hello." + name,
            "description": "0b5c1f2e:BackendJobDescriptorKey_CommandCallNode_hello.%s:-1:1" % name,
            "inputs": [
                {"name": "hello.%s.file.%d" % (name, number), "description": "hello", "url": str(path),
                 "path": "%s/inputs%s" % (root, path), "type": "FILE", "content": None}
                for number, path in enumerate(inputs)
            ] + [{"name": "commandScript", "description": "hello.commandScript", "url": None, "type": "FILE",
                  "path": self.inside + "/script", "content": script}],
            "outputs": outputs,
            "resources": {"cpu_cores": 1, "ram_gb": 0.5, "disk_gb": 1.0, "preemptible": False, "zones": None,
                          "backend_parameters": {"internal_path_prefix": "/cromwell-executions/hello"},
                          "backend_parameters_strict": None},
            "executors": [{"image": BASH, "command": ["/bin/bash", self.inside + "/script"], "workdir": self.inside,
                           "stdout": self.inside + "/stdout", "stderr": self.inside + "/stderr", "stdin": None, "env": None}],
            "tags": {"workflow_id": "0b5c1f2e", "root_workflow_id": "0b5c1f2e", "parent_workflow_id": None},
        }

    def glob(self, pattern, glob):
        x = self.inside
        return "mkdir %s/%s\n( ln -L %s %s/%s 2>/dev/null ) || ( ln %s %s/%s )\nls -1 %s/%s > %s/%s.list\n" % (
            x, glob, pattern, x, glob, pattern, x, glob, x, glob, x, glob)

    def out(self, name, kind):
        return {"name": name, "description": "hello." + name, "url": str(self.folder / name) + ("/" if name.endswith("/") else ""),
                "path": "%s/%s" % (self.inside, name), "type": kind}

    def ask(self, method, path, body=None, headers=None):
        status, text = self.world.ask(method, "/ga4gh/tes/v1/tasks" + path, body, headers)
        assert 200 <= status < 300, "the call has failed for good: %d %s" % (status, text)
        return json.loads(text)

    def submit(self):
        self.id = self.ask("POST", "", json.dumps(self.task).encode(), {"Content-Type": "application/json"})["id"]
        return self

    def minimal(self):
        task = self.ask("GET", "/%s?view=MINIMAL" % self.id)
        assert isinstance(task["id"], str) and isinstance(task["state"], str)
        return task["state"]

    def full(self):
        """A FULL task through what its formatter demands."""
        task = self.ask("GET", "/%s?view=FULL" % self.id)
        for executor in task["executors"]:
            assert isinstance(executor["image"], str) and all(isinstance(word, str) for word in executor["command"])
        assert all(isinstance(file["path"], str) for file in task.get("inputs", []) + task.get("outputs", []))
        assert all(isinstance(value, str) for value in task.get("tags", {}).values())
        for log in task.get("logs", []):
            assert all(isinstance(file["size_bytes"], str) for file in log["outputs"])
            assert all(isinstance(value, str) for value in log.get("metadata", {}).values())
        return task

    def end(self):
        # FULL until the task is seen to have started, then MINIMAL.
        poll(self.full, lambda task: task.get("logs") and task["logs"][0].get("start_time"), "a start time")
        return poll(self.minimal, lambda seen: seen in ENDED, "the end of " + self.name)

    def text(self, name):
        return (self.folder / name).read_text()


def rule_9_2_and_9_10_a_workflow_of_two_calls(world):
    """Bare paths in a mirror tree, a glob as a directory of hard links, and the script as input and output."""
    source = world.write("data/in.txt", "hello\n")
    inside = CALL % ("0b5c1f2e", "split") + "/inputs" + source
    first = Call(
        world, "split", "tr a-z A-Z < %s > up.txt\necho 1 > p1.part\necho 2 > p2.part\necho said\necho warned >&2" % inside,
        inputs=[source], files=["up.txt"], globs=[("*.part", "glob-4f3c")],
    ).submit()
    assert first.end() == "COMPLETE", first.full()
    assert first.text("rc") == "0\n" and first.text("up.txt") == "HELLO\n"
    assert first.text("glob-4f3c/p1.part") == "1\n" and first.text("glob-4f3c/p2.part") == "2\n"
    assert first.text("glob-4f3c.list") == "p1.part\np2.part\n"
    assert first.text("stdout") == "said\n" and first.text("stderr") == "warned\n"
    assert first.text("script") == first.task["inputs"][-1]["content"]
    task = first.full()
    assert task["tags"] == {"workflow_id": "0b5c1f2e", "root_workflow_id": "0b5c1f2e"}, task["tags"]
    up = str(first.folder / "up.txt")
    second = Call(
        world, "count", "wc -l < %s > n.txt" % (CALL % ("0b5c1f2e", "count") + "/inputs" + up), inputs=[up],
        files=["n.txt", "optional.txt"],
    ).submit()
    assert second.end() == "COMPLETE", second.full()
    assert second.text("n.txt").strip() == "1" and not (second.folder / "optional.txt").exists()


def rule_10_2_a_call_that_fails_is_judged_by_its_rc(world):
    """The script itself ends well: the code stands in `rc`."""
    call = Call(world, "broken", "echo why >&2\nexit 9", files=["never.txt"]).submit()
    assert call.end() == "COMPLETE", call.full()
    assert call.text("rc") == "9\n" and call.text("stderr") == "why\n"


def rule_3_8_and_14_6_a_workflow_is_aborted(world):
    """The abort has neither body nor Content-Type, and wants a JSON object back; the state is polled on."""
    call = Call(world, "sleeps", "sleep 600").submit()
    poll(call.minimal, lambda seen: seen == "RUNNING", "a running call")
    assert call.ask("POST", "/%s:cancel" % call.id) == {}
    assert call.end() == "CANCELED"


def rule_13_4_its_parameter_is_never_a_refusal(world):
    """`internal_path_prefix` goes with every task: unknown here, not stored, noted."""
    call = Call(world, "plain", "true").submit()
    assert call.end() == "COMPLETE"
    task = call.full()
    assert "internal_path_prefix" not in json.dumps(task["resources"]), task["resources"]
    assert any("internal_path_prefix" in line for line in task["logs"][0]["system_logs"]), task["logs"]


STORIES = [
    rule_9_2_and_9_10_a_workflow_of_two_calls,
    rule_10_2_a_call_that_fails_is_judged_by_its_rc,
    rule_3_8_and_14_6_a_workflow_is_aborted,
    rule_13_4_its_parameter_is_never_a_refusal,
]
