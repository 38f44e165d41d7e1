"""What every story needs: the server's address, a folder that it may use, plain HTTP, and patience."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

BUSYBOX = "tessera-test/busybox:1"
BASH = "tessera-test/bash:1"
ENDS = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
# A container takes a third of a second here, on a busy machine some seconds.
PATIENCE = 90


class World:
    def __init__(self, url, scratch, inputs, program):
        self.url, self.scratch = url, Path(scratch)
        # A port of loopback that tasks may read inputs from.
        self.inputs = inputs
        # What `run` was given for this client.
        self.program = program

    def at(self, story):
        """The same world, with a folder of this story's own below a root that the server may use."""
        world = World(self.url, self.scratch, self.inputs, self.program)
        world.folder = self.scratch / "files" / story
        world.folder.mkdir(parents=True)
        return world

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def read(self, name):
        path = self.folder / name
        there = sorted(str(it.relative_to(self.folder)) for it in self.folder.rglob("*"))
        assert path.is_file(), "%s was not delivered; there is %s" % (name, there)
        return path.read_text()

    def ask(self, method, path, body=None, headers=None, timeout=10):
        """One request with exactly these headers; status and the bytes of the answer."""
        request = urllib.request.Request(self.url + path, method=method, data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text, kind = answer.status, answer.read(), answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            status, text, kind = error.code, error.read(), error.headers["Content-Type"]
        assert kind == "application/json", "%s %s answers %s" % (method, path, kind)
        return status, text

    def ok(self, method, path, body=None, headers=None, timeout=10):
        """The same where only 200 will do; the answer as JSON."""
        status, text = self.ask(method, path, body, headers, timeout)
        assert status == 200, "%s %s: %d %s" % (method, path, status, text.decode())
        return json.loads(text)

    def all_tasks(self, cancel=False):
        """The ids of all tasks of this server, for clients that do not say which they made."""
        made, token = [], ""
        while token is not None:
            page = self.ok("GET", "/v1/tasks?page_size=2047&page_token=" + token)
            made += [task["id"] for task in page["tasks"]]
            token = page.get("next_page_token")
        for task in made if cancel else []:
            self.ok("POST", "/v1/tasks/%s:cancel" % task)
        return made


def poll(look, enough, what, every=0.05, seconds=PATIENCE):
    """Looks until it is enough; bounded."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if enough(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError("waited %s s for %s; last seen: %s" % (seconds, what, json.dumps(seen, indent=1)))
        time.sleep(every)


def shown(task):
    return json.dumps(task, indent=1)
