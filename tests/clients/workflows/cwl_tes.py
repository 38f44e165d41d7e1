"""cwl-tes: files by `file://`, each tool's workdir as a DIRECTORY output, its stdout as a FILE inside."""

from place import cancel, codes

# The tools bring their own images, and nothing of cwl-tes runs there.
IN_IMAGE = False


def config(root):
    return '[storage.file]\nroots = ["%s"]\n' % root


def cwl_tes(place, *words):
    # What docs/clients/cwl-tes.md says.
    return [place.program("cwl-tes"), "--tes", place.url, "--outdir", "results", *words]


def workflow(place, _image):
    code, said = place.run(*cwl_tes(place, "count.cwl", "count.yml"))
    assert code == 0, said
    assert place.read("results/count.txt").split()[0] == "3", said
    place.ended(("upper", "COMPLETE"), ("lines", "COMPLETE"))


def failure(place, _image):
    code, said = place.run(*cwl_tes(place, "broken.cwl"))
    assert code != 0 and "permanentFail" in said, said
    task = place.task("broken.cwl")
    assert (task["state"], codes(task)) == ("EXECUTOR_ERROR", [3]), task
    assert task["logs"][0]["logs"][0]["stderr"] == "this cannot work\n", task


def interrupt(place, _image):
    task, said = place.interrupted("slow.cwl", *cwl_tes(place, "slow.cwl"))
    # It leaves its tasks alone and says so: they are cancelled through TES.
    assert "will keep running" in said, said
    assert place.task("slow.cwl")["state"] == "RUNNING"
    cancel(place.url, task)
    place.gone(task)


STORIES = [workflow, failure, interrupt]
