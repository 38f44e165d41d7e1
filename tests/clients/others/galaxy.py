"""A stand-in for Galaxy's TES runner: three executors over one volume that holds the inputs, served by Galaxy itself.

Inputs are HTTP URLs with query strings. Results are not outputs of the task: the last executor sends them back. Here
it prints them, for no address of this machine is open to containers.
"""

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from world import BASH, BUSYBOX, poll

RUNNING = ("RUNNING", "INITIALIZING", "QUEUED", "PAUSED")
ERROR = ("EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "UNKNOWN")
VOLUME = "/galaxy/"
JOB = VOLUME + "jobs/000/7"


class Galaxy:
    """The files endpoint of a job; answers only with the right key."""

    def __init__(self, port, files):
        class Door(BaseHTTPRequestHandler):
            def do_GET(self):
                address = urllib.parse.urlsplit(self.path)
                query = urllib.parse.parse_qs(address.query)
                found = query.get("job_key") == ["k=y&1"] and files.get(query.get("path", [""])[0])
                self.send_response(200 if found else 404)
                body = (found or "not here").encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Door)
        self.url = "http://127.0.0.1:%d/api/jobs/f2db41e1/files?job_key=k%%3Dy%%261" % port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def job(galaxy, command, outputs):
    script = " && ".join("mkdir -p %s && touch %s" % (path.rsplit("/", 1)[0], path) for path in outputs) + " && \n"
    path = lambda name: {"url": "%s&path=%s" % (galaxy.url, name), "path": name, "type": "FILE"}
    return {
        "name": "Galaxy Job Execution",
        "description": "a tool",
        "inputs": [
            {"path": JOB + "/createfiles.sh", "content": script.replace("&& \n", "\n")},
            path(JOB + "/stage.sh"), path(JOB + "/tool_script.sh"), path(VOLUME + "files/dataset_1.dat"),
        ],
        "executors": [
            {"workdir": VOLUME, "image": BASH, "command": ["/bin/bash", JOB + "/createfiles.sh"]},
            {"workdir": VOLUME, "image": BUSYBOX, "command": command.split(),
             "env": {"_GALAXY_JOB_TMP_DIR": "/tmp", "_GALAXY_JOB_HOME_DIR": "/tmp", "GALAXY_SLOTS": "1"}},
            {"workdir": VOLUME, "image": BUSYBOX, "command": ["sh", JOB + "/stage.sh", galaxy.url, JOB, *outputs]},
        ],
        "volumes": [VOLUME],
    }


FILES = {
    JOB + "/stage.sh": 'shift 2\nfor file in "$@"; do echo "$file: $(cat "$file")"; done\n',
    JOB + "/tool_script.sh": "tr a-z A-Z <%sfiles/dataset_1.dat >%sfiles/dataset_2.dat\necho worked\necho noted >&2\n" % (VOLUME, VOLUME),
    VOLUME + "files/dataset_1.dat": "hello\n",
}


def send(world, task):
    return world.ok("POST", "/v1/tasks", json.dumps(task).encode(), {"Content-Type": "application/json"})["id"]


def end(world, task):
    """FULL every time; standard output, standard error and exit code as the runner makes them."""
    look = lambda: world.ok("GET", "/v1/tasks/%s?view=FULL" % task)
    data = poll(look, lambda data: data["state"] not in RUNNING + ("CANCELING",), "the end of " + task)
    assert data["state"] in ERROR + ("COMPLETE",), data
    said = {key: "\n".join(one[key] for log in data["logs"] for one in log["logs"] if one.get(key) is not None)
            for key in ("stdout", "stderr")}
    return data["state"], said["stdout"], said["stderr"], 0 if data["state"] == "COMPLETE" else 1


def rule_9_2_and_11_1_a_tool_over_one_volume(world):
    with Galaxy(world.inputs, FILES) as galaxy:
        task = send(world, job(galaxy, "sh %s/tool_script.sh" % JOB, [VOLUME + "files/dataset_2.dat"]))
        state, out, err, code = end(world, task)
    assert (state, code) == ("COMPLETE", 0), (state, out, err)
    assert "worked\n" in out and VOLUME + "files/dataset_2.dat: HELLO" in out and "noted" in err, (out, err)


def rule_12_1_a_tool_that_fails(world):
    """Nothing is sent back after it."""
    with Galaxy(world.inputs, FILES) as galaxy:
        state, out, err, code = end(world, send(world, job(galaxy, "ls /not/there", [VOLUME + "files/dataset_2.dat"])))
    assert (state, code) == ("EXECUTOR_ERROR", 1) and "/not/there" in err and "dataset_2" not in out, (state, out, err)


def rule_12_7_an_input_that_galaxy_does_not_give(world):
    files = {name: text for name, text in FILES.items() if not name.endswith("dataset_1.dat")}
    with Galaxy(world.inputs, files) as galaxy:
        task = send(world, job(galaxy, "true", [VOLUME + "files/dataset_2.dat"]))
        state, _, _, code = end(world, task)
    assert (state, code) == ("SYSTEM_ERROR", 1), state
    logs = world.ok("GET", "/v1/tasks/%s?view=FULL" % task)["logs"][0]["system_logs"]
    # The key is a secret, and so no part of the query is shown.
    assert "k%3Dy" not in "".join(logs) and "/api/jobs/f2db41e1/files" in logs[-1] and "404" in logs[-1], logs


def rule_3_8_and_14_6_a_job_is_stopped(world):
    """Neither body nor Content-Type."""
    with Galaxy(world.inputs, FILES) as galaxy:
        task = send(world, job(galaxy, "sleep 600", [VOLUME + "files/dataset_2.dat"]))
        look = lambda: world.ok("GET", "/v1/tasks/%s?view=FULL" % task)
        poll(look, lambda data: data["state"] == "RUNNING", "a running job")
        assert world.ok("POST", "/v1/tasks/%s:cancel" % task) == {}
        assert end(world, task)[0] == "CANCELED"


STORIES = [
    rule_9_2_and_11_1_a_tool_over_one_volume,
    rule_12_1_a_tool_that_fails,
    rule_12_7_an_input_that_galaxy_does_not_give,
    rule_3_8_and_14_6_a_job_is_stopped,
]
