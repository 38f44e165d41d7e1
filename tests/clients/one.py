"""All cases with one client, in the Python that has it. Started by `run`."""

import argparse
import json
import subprocess
import sys
import time
import traceback

import speakers
from cases import CASES, CORE, Story

# Exit code: no case of this client has these words.
NONE = 9
# What its older and its younger sibling do in full.
BRIEF = ("py-tes-1.1.0",)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", required=True)
    parser.add_argument("--world", required=True)
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    with open(arguments.world) as file:
        world = json.load(file)
    world["containers"] = containers

    failed, played = [], 0
    for case in CASES:
        if case.only not in (None, arguments.client):
            continue
        if arguments.words and not any(word in case.__name__ for word in arguments.words):
            continue
        if arguments.client in BRIEF and case not in CORE:
            continue
        played += 1
        began = time.monotonic()
        client = speaker(arguments.client, world)
        story = Story(client, world, "%s-%s" % (arguments.client, case.__name__))
        try:
            case(story)
            result, why = "PASS", ""
        except Exception as error:
            result = "FAIL"
            why = str(error) if isinstance(error, AssertionError) and str(error) else traceback.format_exc()
            failed.append(case.__name__)
            release(client, story)
        print("%s  %-18s %-60s %5.1f s" % (result, arguments.client, case.__name__, time.monotonic() - began), flush=True)
        if why:
            print("      " + why.replace("\n", "\n      "), flush=True)
    return 1 if failed else 0 if played else NONE


def speaker(name, world):
    if name.startswith("py-tes"):
        return speakers.PyTes(world["url"])
    if name.startswith("pydantic-tes"):
        return speakers.PydanticTes(world["url"])
    if name == "cli":
        return speakers.Cli(world["url"], world["binary"])
    return speakers.Curl(world["url"])


def release(client, story):
    """A case that failed half-way must not keep places that the next one needs."""
    for task in story.tasks:
        try:
            client.cancel(task)
        except Exception as error:
            print("      and %s could not be cancelled: %s" % (task, error))


def containers(task_id, all):
    """The containers of a task that the engine knows: all of them, or only those that run."""
    argv = ["docker", "ps", "--no-trunc", "--filter", "label=tessera.job", "--format", '{{.Names}} {{.Label "tessera.job"}} {{.Status}}']
    listed = subprocess.run(argv + (["--all"] if all else []), check=True, capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if task_id in line]


if __name__ == "__main__":
    sys.exit(main())
