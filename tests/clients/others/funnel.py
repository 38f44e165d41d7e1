"""A stand-in for Funnel's command line: protojson in camel case goes out, and what comes back is read strictly.

`/v1` is put behind scheme and host of the server's address, whatever path that had. Every request carries Basic, also
with an empty pair. Unknown keys, enum words that it does not know, and numbers where text belongs are errors.
"""

import base64
import json
import urllib.parse

from world import BUSYBOX, poll

TEXT, WHOLE, REAL, TRUTH = (str,), (int,), (int, float), (bool,)
STATES = ("UNKNOWN", "QUEUED", "INITIALIZING", "RUNNING", "PAUSED", "COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED",
          "PREEMPTED", "CANCELING")
KINDS = ("FILE", "DIRECTORY")
INPUT = {"name": TEXT, "description": TEXT, "url": TEXT, "path": TEXT, "type": KINDS, "content": TEXT, "streamable": TRUTH}
OUTPUT = {"name": TEXT, "description": TEXT, "url": TEXT, "path": TEXT, "path_prefix": TEXT, "type": KINDS}
RESOURCES = {"cpu_cores": WHOLE, "preemptible": TRUTH, "ram_gb": REAL, "disk_gb": REAL, "zones": [TEXT],
             "backend_parameters": {None: TEXT}, "backend_parameters_strict": TRUTH}
EXECUTOR = {"image": TEXT, "command": [TEXT], "workdir": TEXT, "stdin": TEXT, "stdout": TEXT, "stderr": TEXT,
            "env": {None: TEXT}, "ignore_error": TRUTH}
EXECUTOR_LOG = {"start_time": TEXT, "end_time": TEXT, "stdout": TEXT, "stderr": TEXT, "exit_code": WHOLE}
LOG = {"logs": [EXECUTOR_LOG], "metadata": {None: TEXT}, "start_time": TEXT, "end_time": TEXT,
       "outputs": [{"url": TEXT, "path": TEXT, "size_bytes": TEXT}], "system_logs": [TEXT]}
TASK = {"id": TEXT, "state": STATES, "name": TEXT, "description": TEXT, "inputs": [INPUT], "outputs": [OUTPUT],
        "resources": RESOURCES, "executors": [EXECUTOR], "volumes": [TEXT], "tags": {None: TEXT}, "logs": [LOG],
        "creation_time": TEXT}
LIST = {"tasks": [TASK], "next_page_token": TEXT}


def strict(value, shape, where="answer"):
    """The answer, if it is of this shape and of nothing beyond it."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), "%s is no object: %r" % (where, value)
        for key, item in value.items():
            assert None in shape or key in shape, "%s has the unknown key %s" % (where, key)
            strict(item, shape.get(key, shape.get(None)), "%s.%s" % (where, key))
    elif isinstance(shape, list):
        assert isinstance(value, list), "%s is no list: %r" % (where, value)
        for number, item in enumerate(value):
            strict(item, shape[0], "%s[%d]" % (where, number))
    elif isinstance(shape[0], str):
        assert value in shape, "%s is the unknown word %r" % (where, value)
    else:
        # In Python a truth is a whole number as well.
        assert isinstance(value, shape) and (bool in shape) == isinstance(value, bool), "%s is %r" % (where, value)
    return value


class Funnel:
    """`funnel task … -S SERVER`."""

    def __init__(self, world, server, user=""):
        address = urllib.parse.urlsplit(server)
        assert "%s://%s" % (address.scheme, address.netloc) == world.url
        self.world = world
        # What its HTTP library makes of an empty user and password.
        self.login = {"Authorization": "Basic " + base64.b64encode((user + ":").encode()).decode()}

    def ask(self, method, path, body=None, kind=None):
        headers = {**self.login, **({"Content-Type": kind} if kind else {})}
        return self.world.ok(method, "/v1" + path, body, headers)

    def create(self, task):
        return strict(self.ask("POST", "/tasks", json.dumps(task).encode(), "application/json"), {"id": TEXT})["id"]

    def get(self, task, view="FULL"):
        return strict(self.ask("GET", "/tasks/%s?view=%s" % (task, view)), TASK)

    def list(self, **query):
        """`--all`: page after page."""
        found, token = [], ""
        while True:
            # An unset token is left out or empty, by version.
            page = strict(self.ask("GET", "/tasks?" + urllib.parse.urlencode({**query, "page_token": token})), LIST)
            found += page.get("tasks", [])
            token = page.get("next_page_token", "")
            if not token:
                return found

    def cancel(self, task):
        strict(self.ask("POST", "/tasks/%s:cancel" % task, b"", "application/json"), {})

    def wait(self, task):
        look = lambda: self.get(task, "MINIMAL")["state"]
        ends = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
        return poll(look, lambda seen: seen in ends, "the end of " + task)


def run(world, script, **rest):
    """What `funnel run SCRIPT` makes of it: defaults are left out, names are those of protojson."""
    return {"name": "funnel " + world.folder.name, "executors": [{"image": BUSYBOX, "command": ["sh", "-c", script]}], **rest}


def rule_4_5_a_task_in_camel_case(world):
    funnel = Funnel(world, world.url + "/some/path")
    task = run(
        world, "tr a-z A-Z <$in >$out; cp $out /parts/one.part; echo said", volumes=["/parts"],
        inputs=[{"name": "in", "url": "file://" + world.write("in.txt", "hello\n"), "path": "/inputs/in.txt"}],
        outputs=[{"name": "out", "url": "file://%s/out.txt" % world.folder, "path": "/outputs/out.txt"},
                 {"url": "file://%s" % world.folder, "path": "/parts/*.part", "pathPrefix": "/parts", "type": "FILE"}],
        resources={"cpuCores": 1, "ramGb": 0.25, "diskGb": 0.5, "preemptible": True, "backendParameters": {"network": "none"}},
        tags={"camelCase": "staysSo"},
    )
    task["executors"][0].update(env={"in": "/inputs/in.txt", "out": "/outputs/out.txt"}, ignoreError=True)
    made = funnel.create(task)
    assert funnel.wait(made) == "COMPLETE", funnel.get(made)
    seen = funnel.get(made)
    assert seen["resources"]["cpu_cores"] == 1 and seen["resources"]["ram_gb"] == 0.25, seen["resources"]
    assert seen["tags"] == {"camelCase": "staysSo"} and seen["executors"][0]["ignore_error"] is True, seen
    assert seen["logs"][0]["logs"][0]["stdout"] == "said\n", seen["logs"]
    assert world.read("out.txt") == "HELLO\n" and world.read("one.part") == "HELLO\n"


def rule_12_1_a_command_that_fails(world):
    funnel = Funnel(world, world.url)
    made = funnel.create(run(world, "exit 4"))
    assert funnel.wait(made) == "EXECUTOR_ERROR"
    assert funnel.get(made)["logs"][0]["logs"][0]["exit_code"] == 4


def rule_14_6_and_17_4_cancel(world):
    """With a user that an open server does not know; a state that it cannot read would be an error."""
    funnel = Funnel(world, world.url, user="somebody")
    made = funnel.create(run(world, "sleep 600"))
    poll(lambda: funnel.get(made, "MINIMAL")["state"], lambda seen: seen == "RUNNING", "a running task")
    funnel.cancel(made)
    assert funnel.wait(made) == "CANCELED"
    funnel.cancel(made)


def rule_4_12_and_8_2_list(world):
    """Views in capitals, empty values, page after page; strict in every view."""
    funnel = Funnel(world, world.url + "/")
    made = [funnel.create(run(world, "true")) for _ in range(3)]
    for task in made:
        funnel.wait(task)
    for view in ("MINIMAL", "BASIC", "FULL"):
        listed = [task["id"] for task in funnel.list(view=view, page_size=2, state="COMPLETE")]
        assert [task for task in reversed(listed) if task in made] == made, (view, listed)
    strict(funnel.ask("GET", "/tasks/service-info"), {"name": TEXT, "doc": TEXT, "storage": [TEXT]})


STORIES = [
    rule_4_5_a_task_in_camel_case,
    rule_12_1_a_command_that_fails,
    rule_14_6_and_17_4_cancel,
    rule_4_12_and_8_2_list,
]
