"""The clients: each says the same few words to a server in its own way and answers plain JSON.

    create(task) -> id      get(id, view) -> task      cancel(id)      wait(id, seconds) -> state
"""

import json
import subprocess
import time
import urllib.request

ENDS = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")


class Refused(Exception):
    """The client, or the server through it, said no."""


class Speaker:
    """What all of them share: waiting, unless they bring their own."""

    # What this client has no word for; those tasks are created with plain HTTP and then followed by the client.
    silent_about = ()

    def __init__(self, url):
        self.url = url

    def wait(self, task, seconds):
        return poll(lambda: self.get(task, "MINIMAL")["state"], lambda state: state in ENDS, seconds, "the end of " + task)


class PyTes(Speaker):
    """py-tes, in the version that this Python has."""

    def __init__(self, url):
        super().__init__(url)
        import attr
        import tes
        from tes.utils import unmarshal

        self._tes, self._unmarshal = tes, unmarshal
        self._client = tes.HTTPClient(url, timeout=10)
        if "ignore_error" not in [field.name for field in attr.fields(tes.Executor)]:
            self.silent_about = ("ignore_error",)

    def create(self, task):
        return self._client.create_task(self._unmarshal(task, self._tes.Task))

    def get(self, task, view):
        # What py-tes cannot read it refuses here: unknown members, empty times, unknown states.
        return plain(self._client.get_task(task, view).as_dict())

    def cancel(self, task):
        self._client.cancel_task(task)

    def wait(self, task, seconds):
        return self._client.wait(task, timeout=seconds).state

    def list(self):
        return [task.id for task in self._client.list_tasks(view="MINIMAL", page_size=50).tasks]

    def service_info(self):
        return plain(self._client.get_service_info().as_dict())


class PydanticTes(Speaker):
    """pydantic-tes: what Pulsar speaks with. Its words are those of TES 1.0, and it sends all of them, unset ones as null."""

    silent_about = ("ignore_error",)

    def __init__(self, url):
        super().__init__(url)
        from pydantictes import api, models

        self._models = models
        self._client = api.TesClient(url)

    def create(self, task):
        # In 1.0 a file has to say what it is; `create_task` of the library leaves that to its caller.
        files = {key: [{"type": "FILE", **file} for file in task[key]] for key in ("inputs", "outputs") if key in task}
        return self._client.create_task(self._models.TesTask(**{**task, **files})).id

    def get(self, task, view):
        # It cannot read MINIMAL, for the executors are missing there; Pulsar always asks for FULL.
        return self._client.get_task(task, "FULL").model_dump(mode="json", exclude_none=True)

    def cancel(self, task):
        self._client.cancel_task(task)

    def list(self):
        return [task.id for task in self._client.list_tasks().tasks]

    def service_info(self):
        return self._client.service_info().model_dump(mode="json")


class Curl(Speaker):
    """curl."""

    def _curl(self, *words, stdin=None):
        argv = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "20", *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused("%s: %s%s" % (" ".join(argv), done.stdout, done.stderr))
        return json.loads(done.stdout)

    def _path(self, path):
        return self.url + "/ga4gh/tes/v1" + path

    def create(self, task):
        words = ["-H", "Content-Type: application/json", "--data-binary", "@-", self._path("/tasks")]
        return self._curl(*words, stdin=json.dumps(task))["id"]

    def get(self, task, view):
        return self._curl(self._path("/tasks/%s?view=%s" % (task, view)))

    def cancel(self, task):
        answer = self._curl("-X", "POST", self._path("/tasks/%s:cancel" % task))
        assert answer == {}, answer

    def list(self):
        return [task["id"] for task in self._curl(self._path("/tasks?page_size=50"))["tasks"]]

    def service_info(self):
        return self._curl(self._path("/service-info"))


class Cli(Speaker):
    """Our own command line."""

    def __init__(self, url, binary):
        super().__init__(url)
        self._binary = binary

    def run(self, *words, stdin=None):
        """Any command; its exit code and what it printed."""
        argv = [self._binary, *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120, env={"TESSERA_SERVER": self.url})
        return done.returncode, done.stdout, done.stderr

    def _json(self, *words, stdin=None, codes=(0,)):
        code, out, err = self.run(*words, "--json", stdin=stdin)
        if code not in codes:
            raise Refused("tessera %s: exit code %d: %s%s" % (" ".join(words), code, out, err))
        return json.loads(out)

    def create(self, task):
        return self._json("task", "create", "-", stdin=json.dumps(task))[0]["id"]

    def get(self, task, view):
        return self._json("task", "get", task, "--view", view.lower())

    def cancel(self, task):
        self._json("task", "cancel", task)

    def wait(self, task, seconds):
        # 4, 5 and 6 are ends as well.
        ended = self._json("task", "wait", task, "--timeout", str(seconds), codes=(0, 4, 5, 6))
        return ended[0]["state"]

    def list(self):
        listed = self._json("task", "list")
        return [task["id"] for task in (listed["tasks"] if isinstance(listed, dict) else listed)]


def create_plainly(url, task):
    """Creation with nothing but HTTP, for what a client has no word for."""
    request = urllib.request.Request(
        url + "/ga4gh/tes/v1/tasks", data=json.dumps(task).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["id"]


def get_plainly(url, task):
    return ask_plainly(url, "/tasks/%s?view=FULL" % task)


def ask_plainly(url, path):
    with urllib.request.urlopen(url + "/ga4gh/tes/v1" + path, timeout=20) as answer:
        return json.load(answer)


def poll(look, enough, seconds, what):
    """Looks until it is enough; bounded."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if enough(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError("waited %s s for %s; last seen: %r" % (seconds, what, seen))
        time.sleep(0.05)


def plain(value):
    """Times as text, and without what is absent: what JSON would have said."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
