"""Starting, recognising and ending the processes of a cluster.

A part that was started is known by its id and when it began, for an id alone may be somebody else's by now. Everything
that a part has started in turn carries the cluster's folder in its environment; only what runs in containers does not,
and that is in the cluster's control group.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cgroups
from place import Place, Trouble

MARK = "TESSERA_NODE_OF"
GLANCE_S = 0.05


def spawn(place: Place, name: str, command: list[str]) -> None:
    environment = os.environ | {MARK: str(place.dir), "PATH": f"{place.bin}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    environment.pop("KUBECONFIG", None)
    with open(place.logs / f"{name}.log", "ab") as log:
        # A session of its own: a Ctrl-C at the caller's terminal is for the caller.
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    (place.pids / name).write_text(f"{child.pid} {began(child.pid)}\n")


def began(pid: int) -> str | None:
    """When that process was started, in ticks; nothing when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def pid(place: Place, name: str) -> int:
    return int((place.pids / name).read_text().split()[0])


def alive(place: Place, name: str) -> bool:
    try:
        known, since = (place.pids / name).read_text().split()
    except (OSError, ValueError):
        return False
    return began(int(known)) == since


def wait(place: Place, name: str, seconds: int, ready: Callable[[], bool]) -> None:
    """Until a part does what it should. The end of its log is in the error."""
    deadline = time.monotonic() + seconds
    while not ready():
        log = place.logs / f"{name}.log"
        if not alive(place, name):
            raise Trouble(f"{name} has ended; {log} ends:\n{end_of(log)}")
        if time.monotonic() > deadline:
            raise Trouble(f"{name} is not ready after {seconds} s; {log} ends:\n{end_of(log)}")
        time.sleep(GLANCE_S)


def end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])


def stop(place: Place, names: dict[str, float]) -> None:
    """Asks these to end, all at once, and kills those that have not after their seconds."""
    began_at = time.monotonic()
    running = {name: seconds for name, seconds in names.items() if alive(place, name)}
    for name in running:
        os.kill(pid(place, name), signal.SIGTERM)
    while running := {name: seconds for name, seconds in running.items() if alive(place, name)}:
        for name, seconds in running.items():
            if time.monotonic() - began_at > seconds:
                os.kill(pid(place, name), signal.SIGKILL)
        time.sleep(GLANCE_S)
    for name in names:
        (place.pids / name).unlink(missing_ok=True)


def end_everything(place: Place) -> None:
    """Whatever of the cluster still runs, containers included."""
    deadline = time.monotonic() + 15
    while left := everybody(place):
        if time.monotonic() > deadline:
            raise Trouble(f"processes of {place.dir} do not end: {sorted(left)}")
        for one in left:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(GLANCE_S)
    for file in place.pids.glob("*"):
        file.unlink()


def everybody(place: Place) -> set[int]:
    found = set()
    mark = f"{MARK}={place.dir}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                marked = mark in (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if marked and began(int(folder.name)):
                found.add(int(folder.name))
    found |= cgroups.members(place)
    return {one for one in found if one > 0 and began(one)}
