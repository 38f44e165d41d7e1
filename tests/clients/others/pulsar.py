"""Pulsar's own client (pulsar-app with pydantic-tes), unmodified, as Galaxy's Pulsar runner drives it.

Its staging image is a small stand-in (tests/images/build); all that goes over the wire is Pulsar's.
"""

import json
import subprocess
from pathlib import Path

from world import ENDS, poll, shown

# A job that waits is a failed one to Pulsar (TES contract 14.9).
POLICY = '\n[policy]\nshow_queued = false\nshow_canceling = "never"\n'
HERE = Path(__file__).resolve().parent


def story(name, state, codes):
    def play(world):
        # Isolated: this folder holds a module of Pulsar's name.
        argv = [world.program, "-I", "-B", HERE / "pulsar_jobs.py", name, world.url]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout.split()[-1]
        look = lambda: world.ok("GET", "/v1/tasks/%s?view=FULL" % said)
        task = poll(look, lambda seen: seen["state"] in ENDS, "the end of " + said)
        seen = task["state"], [log["exit_code"] for log in task["logs"][0]["logs"]]
        assert seen[0] == state and seen[1][: len(codes)] == codes, shown(task)
        assert [path.rstrip("/") for path in task["volumes"]] == ["/pulsar_staging"], shown(task)
        assert len(task["executors"]) == 3, shown(task)

    play.__name__ = name
    return play


STORIES = [
    story("a_tool_runs", "COMPLETE", [0, 0, 0]),
    story("staging_fails", "EXECUTOR_ERROR", [1]),
    story("rule_14_6_a_job_is_killed", "CANCELED", [0]),
]
