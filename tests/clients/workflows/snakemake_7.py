"""Snakemake 7 with `--tes`: files by `file://`, the Snakefile as the content of an input, all below /tmp."""

from place import codes

# A job is Snakemake again, in the container.
IN_IMAGE = True


def config(root):
    return '[storage.file]\nroots = ["%s"]\n' % root


def snakemake(place, image, *words):
    # What docs/clients/snakemake.md says.
    return [place.program("snakemake"), "--tes", place.url, "--container-image", image, "--jobs", "2", *words]


def workflow(place, image):
    code, said = place.run(*snakemake(place, image))
    assert code == 0, said
    assert place.read("results/upper.txt") == "ONE\nTWO\nTHREE\n"
    assert place.read("results/count.txt") == "3\n"
    # A rule's log is an output like any other.
    assert place.read("logs/upper.log") == ""
    place.ended(("snakejob.upper.", "COMPLETE"), ("snakejob.count.", "COMPLETE"))


def failure(place, image):
    code, said = place.run(*snakemake(place, image, "broken"))
    task = place.task("snakejob.broken.")
    assert code != 0 and "Task errored: %s" % task["id"] in said, said
    assert (task["state"], codes(task)) == ("EXECUTOR_ERROR", [1]), task
    assert "this cannot work" in task["logs"][0]["logs"][0]["stderr"], task


def interrupt(place, image):
    task, said = place.interrupted("snakejob.slow.", *snakemake(place, image, "slow"))
    assert "Task canceled: %s" % task in said, said
    place.gone(task)


STORIES = [workflow, failure, interrupt]
