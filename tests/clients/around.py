"""What stands around the clients: a server of our own, and a look at what its tasks have left behind."""

import socket
import subprocess
import time
import urllib.request
from pathlib import Path


def start(binary, scratch, config):
    """The server, ready; on a free port, with folders of its own."""
    port = free_port()
    (scratch / "tessera.toml").write_text(config)
    argv = [binary, "serve", "--listen", "127.0.0.1:%d" % port, "--data", scratch / "data", "--config", scratch / "tessera.toml"]
    with open(scratch / "server.log", "w") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    url = "http://127.0.0.1:%d" % port
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url + "/readyz", timeout=5):
                return server, url
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                raise SystemExit("the server is not ready (%s): %s" % (error, (scratch / "server.log").read_text()))
        time.sleep(0.05)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def leftovers(scratch, ids):
    """Containers, folders and processes of these tasks; given some time, for a job is released after its task's end."""
    deadline = time.monotonic() + 30
    while True:
        listed = docker("ps", "--all", "--filter", "label=tessera.job", "--format", '{{.Names}} {{.Label "tessera.job"}}').splitlines()
        left = ["container " + line for line in listed if any(task in line for task in ids)]
        # A folder a backend, in it a folder an attempt.
        left += ["folder %s" % path for path in (scratch / "data" / "work").glob("*/*") if path.is_dir()]
        left += ["process %s" % line for line in processes(str(scratch / "data"))]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def processes(word):
    """Command lines that name our data folder, the server's own aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(word in one for one in words) and "serve" not in words[:2]:
                found.append(" ".join(words))
    return found


def docker(*words, check=True):
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise SystemExit("docker %s: %s" % (" ".join(words), done.stderr))
    return done.stdout


def stop(server):
    """Ends the server; whether it went when it was asked to."""
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        return False
    return True
