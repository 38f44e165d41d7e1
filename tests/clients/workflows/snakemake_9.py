"""Snakemake 9 with its TES plug-in: files go through an S3 storage that engine and jobs both reach."""

import os

from place import codes

# A job is Snakemake again, in the container.
IN_IMAGE = True
# Each job begins with a `pip install` of the storage plug-in. The image has it, so that there is nothing to do.
PROGRAMS = {"pip": "#!/bin/sh\nexit 0\n"}


def config(_root):
    # The jobs fetch and deliver by themselves; the server moves only the script.
    return ""


def variables(place):
    return {
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "rig",
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "rig",
        # When a job fails, the plug-in prints the file `funnel.log` below this folder, and breaks without it.
        "GITHUB_WORKSPACE": str(place.folder),
    }


def snakemake(place, image, *words):
    # What docs/clients/snakemake.md says.
    argv = [place.program("snakemake"), "--executor", "tes", "--tes-url", place.url, "--container-image", image]
    argv += ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://%s/demo" % lab(place)]
    argv += ["--storage-s3-endpoint-url", os.environ["TESSERA_CLIENTS_S3"], "--seconds-between-status-checks", "1"]
    return [*argv, "--jobs", "2", *words]


def s3(place, script):
    """A few lines of Python with a client of the storage."""
    client = "import boto3; s3 = boto3.client('s3', endpoint_url=%r, aws_access_key_id='rig', aws_secret_access_key='rig', " \
        "region_name='us-east-1')\n" % os.environ["TESSERA_CLIENTS_S3"]
    code, said = place.run(place.python, "-c", client + script)
    assert code == 0, said
    return said


def lab(place):
    """A bucket for each story: Snakemake lays its sources there, named by what they hold, and removes them at its end."""
    return "lab-" + place.story


def bucket(place):
    """What the user has there before."""
    s3(place, "s3.create_bucket(Bucket=%r); s3.upload_file('data/words.txt', %r, 'demo/data/words.txt')" % (lab(place), lab(place)))


def workflow(place, image):
    bucket(place)
    code, said = place.run(*snakemake(place, image), **variables(place))
    assert code == 0, said
    found = s3(place, "print(s3.get_object(Bucket=%r, Key='demo/results/count.txt')['Body'].read().decode())" % lab(place))
    assert found.split() == ["3"], found
    place.ended(("snakejob.upper.", "COMPLETE"), ("snakejob.count.", "COMPLETE"))


def failure(place, image):
    bucket(place)
    (place.folder / "funnel.log").touch()
    code, said = place.run(*snakemake(place, image, "broken"), **variables(place))
    task = place.task("snakejob.broken.")
    assert code != 0 and "Error in rule broken" in said, said
    assert (task["state"], codes(task)) == ("EXECUTOR_ERROR", [1]), task
    assert "this cannot work" in task["logs"][0]["logs"][0]["stderr"], task


def interrupt(place, image):
    bucket(place)
    task, said = place.interrupted("snakejob.slow.", *snakemake(place, image, "slow"), **variables(place))
    assert "Task canceled: %s" % task in said, said
    place.gone(task)


STORIES = [workflow, failure, interrupt]
