"""Toil with its TES batch system: the job store is a folder that server and jobs share, mounted read-write."""

from images import said
from place import codes

# A job is Toil's worker, in the container.
IN_IMAGE = True


def tag(python):
    """Toil asks the registry whether an image is there, unless its name holds the commit that Toil was built from."""
    return said(python, "-c", "from toil.version import currentCommit; print(currentCommit)")


def config(root):
    return '[storage.file]\nroots = [{ path = "%s", mode = "bind-rw" }]\n' % root


def toil(place, image, what):
    # What docs/clients/toil.md says.
    argv = [place.python, "count.py", place.folder / ("store-" + what), what, place.folder / "data/words.txt"]
    return [*argv, "--batchSystem", "tes", "--tesEndpoint", place.url, "--retryCount", "0"], {"TOIL_APPLIANCE_SELF": image}


def workflow(place, image):
    argv, env = toil(place, image, "upper")
    code, said = place.run(*argv, **env)
    assert code == 0 and "lines: 3\n" in said, said
    ended = place.tasks()
    assert ended and all(task["state"] == "COMPLETE" for task in ended), ended


def failure(place, image):
    argv, env = toil(place, image, "broken")
    code, said = place.run(*argv, **env)
    assert code != 0 and "RuntimeError: this cannot work" in said, said
    task = place.task("'broken'")
    assert (task["state"], codes(task)) == ("EXECUTOR_ERROR", [1]), task


def interrupt(place, image):
    argv, env = toil(place, image, "slow")
    task, _ = place.interrupted("'slow'", *argv, **env)
    place.gone(task)


STORIES = [workflow, failure, interrupt]
