"""The Rust crates `tes` and `crankshaft`, unmodified, in a program of our own beside this file."""

import subprocess

from world import ENDS, poll


def story(name, state=None):
    def play(world):
        world.write("in.txt", "hello\n")
        world.write("folder/deep", "deep\n")
        argv = [world.program, name, world.url + "/ga4gh/tes/v1/", world.folder]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        ids = [line for line in done.stdout.splitlines() if not line.startswith("#")]
        if state:
            assert len(ids) == 1, done.stdout
            look = lambda: world.ok("GET", "/v1/tasks/" + ids[0])["state"]
            assert poll(look, lambda seen: seen in ENDS, "the end of " + ids[0]) == state

    play.__name__ = name.replace("-", "_")
    return play


STORIES = [
    story("tes-files", "COMPLETE"),
    story("tes-failure", "EXECUTOR_ERROR"),
    story("tes-cancel", "CANCELED"),
    story("tes-list"),
    story("crankshaft-files"),
    story("crankshaft-failure"),
    story("crankshaft-fault"),
    story("crankshaft-cancel", "CANCELED"),
    story("crankshaft-many"),
]
