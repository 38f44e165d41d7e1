"""A stand-in for proTES, which passes tasks on: it asks below `/ga4gh/tes/v1`, BASIC, and gives up after 5 seconds.

It keeps the task that it was given beside what comes back, so creation has to answer whatever the task will meet.
"""

import json

from world import BUSYBOX, poll

ENDS = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
BASE = "/ga4gh/tes/v1/tasks"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


def ask(world, method, path, task=None):
    body = json.dumps(task).encode() if task is not None else None
    return world.ok(method, BASE + path, body, JSON, timeout=5)


def send(world, script, image=BUSYBOX):
    task = {"name": "passed on", "executors": [{"image": image, "command": ["sh", "-c", script]}],
            "outputs": [{"url": "file://%s/out.txt" % world.folder, "path": "/out/out.txt", "type": "FILE"}]}
    return ask(world, "POST", "", task)["id"]


def end(world, task):
    seen = poll(lambda: ask(world, "GET", "/%s?view=BASIC" % task), lambda seen: seen["state"] in ENDS, "the end of " + task)
    # BASIC is without them (TES contract 7), and the executors are what it compares.
    assert "system_logs" not in seen["logs"][0] and seen["executors"], seen
    return seen["state"]


def rule_6_6_tasks_that_are_passed_on(world):
    assert end(world, send(world, "echo done >/out/out.txt")) == "COMPLETE"
    assert world.read("out.txt") == "done\n"
    assert end(world, send(world, "exit 1")) == "EXECUTOR_ERROR"


def rule_4_14_an_image_that_is_not_there(world):
    assert end(world, send(world, "true", image="127.0.0.1:1/not/there:1")) == "SYSTEM_ERROR"


def rule_14_6_a_cancel_that_is_passed_on(world):
    task = send(world, "sleep 600")
    poll(lambda: ask(world, "GET", "/%s?view=BASIC" % task)["state"], lambda seen: seen == "RUNNING", "a running task")
    assert ask(world, "POST", "/%s:cancel" % task) == {}
    assert end(world, task) == "CANCELED"


STORIES = [rule_6_6_tasks_that_are_passed_on, rule_4_14_an_image_that_is_not_there, rule_14_6_a_cancel_that_is_passed_on]
