"""One job through Pulsar's polling client; runs in the Python that has Pulsar, and is started by `pulsar.py`.

    pulsar_jobs.py STORY URL      prints the task's id
"""

import sys
import time

from pulsar.client.coexecution_manager import build_client_manager

ENDED = ("complete", "failed", "cancelled")


def main():
    story, url = sys.argv[1:]
    command, expected = {
        "a_tool_runs": ("tr a-z A-Z <in.txt >out.txt", "complete"),
        "staging_fails": ("unstageable", "failed"),
        "rule_14_6_a_job_is_killed": ("sleep 600", "cancelled"),
    }[story]
    destination = {
        "tes_url": url,
        "pulsar_container_image": "tessera-test/pulsar:1",
        "default_file_action": "none",
        "tes_cpu_cores": 1,
        "tes_ram_gb": 0.25,
    }
    client = build_client_manager(tes_enabled=True).get_client(destination, "job-" + story)
    began = time.monotonic()
    tool = {"container_id": "tessera-test/busybox:1"}
    client.external_id = client.launch(command, container_info=tool).external_id
    if story.endswith("killed"):
        wait(client, ("running",), 60)
        client.kill()
        began = time.monotonic()
    status = wait(client, ENDED, 60)
    assert status == expected, "%s, not %s" % (status, expected)
    if story.endswith("killed"):
        assert time.monotonic() - began < 3, "killed after %.1f s" % (time.monotonic() - began)
    print(client.external_id)


def wait(client, enough, seconds):
    deadline = time.monotonic() + seconds
    while True:
        # QUEUED would be a failure here, and the end of the job.
        seen = client.raw_check_complete()
        if seen["status"] in enough:
            return seen["status"]
        assert seen["status"] not in ENDED and time.monotonic() < deadline, seen
        time.sleep(0.1)


main()
