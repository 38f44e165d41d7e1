"""The ground the clients stand on: the server, a registry, the engine, and what is left behind of it all.

Shared by the runners; each gives it a scratch folder of its own.
"""

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
# As many as rule_14_6_cancel_while_queued wants to fill; two keep the cases of a two-core machine honest.
JOBS = 2


@contextmanager
def ground(prefix, failed):
    """A scratch folder. Names of what failed are added to `failed`, and then the server's log is shown."""
    scratch = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield scratch
    finally:
        if failed and (scratch / "server.log").exists():
            print("the server's log ends:\n" + "\n".join((scratch / "server.log").read_text().splitlines()[-40:]))
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def server(binary, scratch, failed, **settings):
    """The server while it is needed; its address. It must neither end by itself nor outlive SIGTERM."""
    process, url = serve(binary, scratch, **settings)
    try:
        yield url
        if process.poll() is not None:
            failed.append("the server, which ended by itself (%d)" % process.returncode)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            failed.append("the server, which did not end on SIGTERM")


def serve(binary, scratch, held=None, config="", bind=False):
    """The server, ready; on a free port, with folders of its own. `held` is a port of loopback that tasks may reach; with
    `bind` its root is mounted for reading and writing."""
    (scratch / "files").mkdir()
    port = free_port()
    root = '{ path = "%s", mode = "bind-rw" }' if bind else '"%s"'
    open_port = '\n[[storage.rules]]\nprefix = "http://127.0.0.1:%d"\ninternal = true\n' % held if held else ""
    (scratch / "tessera.toml").write_text(
        '[storage.file]\nroots = [%s]\n%s\n[backends.docker]\nkind = "docker"\njobs = %d\n%s'
        % (root % (scratch / "files"), open_port, JOBS, config)
    )
    argv = [binary, "serve", "--listen", "127.0.0.1:%d" % port, "--data", scratch / "data", "--config", scratch / "tessera.toml"]
    with open(scratch / "server.log", "w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    url = "http://127.0.0.1:%d" % port
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url + "/readyz", timeout=5):
                return process, url
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise SystemExit("the server is not ready (%s): %s" % (error, (scratch / "server.log").read_text()))
        time.sleep(0.05)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def push(registry):
    """An image that only the registry has; its name."""
    name = registry + "/tessera-test/busybox:1"
    docker("tag", "tessera-test/busybox:1", name)
    docker("push", "--quiet", name)
    docker("rmi", name)
    return name


def leftovers(scratch):
    """Containers, folders and processes of our tasks; given some time, for a job is released after its task's end."""
    ids = (scratch / "ids").read_text().split() if (scratch / "ids").exists() else []
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


def engine(verb, folder):
    return subprocess.run([HERE.parent / "engines" / "registry", verb, folder], check=True, capture_output=True, text=True).stdout


def nothing_left(scratch, failed):
    """Says whether anything is left behind, and adds it to what failed."""
    left = leftovers(scratch)
    print("%s  %-18s %s" % ("FAIL" if left else "PASS", "all", "nothing is left behind"))
    for thing in left:
        print("      " + thing)
    if left:
        failed.append("leftovers")


def note_ids(url, scratch, cancel=False):
    """All tasks of the server into the list of ours, for clients that do not say which they made."""
    token, made = "", []
    while token is not None:
        with urllib.request.urlopen(url + "/v1/tasks?page_size=2047&page_token=" + token, timeout=20) as answer:
            page = json.load(answer)
        made += [task["id"] for task in page["tasks"]]
        token = page.get("next_page_token")
    for task in made if cancel else []:
        urllib.request.urlopen(urllib.request.Request(url + "/v1/tasks/%s:cancel" % task, method="POST"), timeout=20).close()
    with open(scratch / "ids", "a") as ids:
        ids.writelines(task + "\n" for task in made)
