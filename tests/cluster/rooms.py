"""The room of a cluster: a network namespace and a mount namespace of its own.

One process that does nothing holds both, every part is started inside, and so ports, packet rules, bridges and mounts
are gone with the last of them. A cable leads from the machine to the node. In the room's view, the places that the
kubelet has compiled in, and the knobs of the kernel that it wants to turn for the whole machine, are files of the
cluster's folder.

What remains to be taken away by hand: control groups, and two folders that have to exist to be mounted over.
"""

import os
import time
from pathlib import Path

import cgroups
import parts
import processes
from command import run
from place import Place, Trouble

HOLDER = "room"
# How many stand side by side on a machine.
ROOMS = 16
# Places that the kubelet has compiled in.
COMPILED_IN = ("/var/lib/kubelet", "/var/log/containers")
# Those of them that were not there before.
MADE = Path("/run/tessera-node.made")
# It sets these, or does not start.
KNOBS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def enter(place: Place) -> None:
    """Makes the room, or finds it."""
    if processes.alive(place, HOLDER):
        return
    # Parts without it are in a room that nobody can enter any more.
    processes.end_everything(place)
    leave(place)
    try:
        build(place)
    except BaseException:
        # Half a room would be taken for a whole one.
        processes.end_everything(place)
        leave(place)
        raise


def build(place: Place) -> None:
    # Mounts of the machine come and go in here too, ours never get out.
    unshare = ["unshare", "--net", "--mount", "--propagation", "slave", "--"]
    pause = (place.bin / "kubelet").resolve().with_name("pause")
    processes.spawn(place, HOLDER, [*unshare, str(pause)])
    holder = processes.pid(place, HOLDER)
    deadline = time.monotonic() + 10
    # What was started becomes what holds the room, once that is made.
    while os.readlink(f"/proc/{holder}/exe") != str(pause):
        if time.monotonic() > deadline or not processes.alive(place, HOLDER):
            raise Trouble(f"there is no room to be had; see {place.logs / HOLDER}.log")
        time.sleep(0.01)
    plug_in(place, holder)
    mount(place)
    cgroups.make(place)


def plug_in(place: Place, holder: int) -> None:
    """The cable. Making it is what decides between two that want the same number."""
    before = place.number
    for number in range(ROOMS) if before is None else [before]:
        place.number = number
        made = run("ip", "link", "add", place.cable, "type", "veth", "peer", "name", "node0", "netns", str(holder), check=False)
        if made.returncode == 0:
            break
    else:
        if before is None:
            (place.dir / "number").unlink()
            raise Trouble(f"no network is free for it: {made.stderr.strip()}")
        raise Trouble(f"another cluster has this one's network ({place.net}.0.0/16): remove {place.dir} and try again")
    run("ip", "link", "set", place.cable, "alias", str(place.dir))
    run("ip", "address", "add", f"{place.host}/30", "dev", place.cable)
    run("ip", "link", "set", place.cable, "up")
    inside = ["nsenter", "--net", "--target", str(holder), "--"]
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "address", "add", f"{place.node}/30", "dev", "node0")
    run(*inside, "ip", "link", "set", "node0", "up")
    run(*inside, "ip", "route", "add", "default", "via", place.host)
    run(*inside, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    run("ip", "route", "add", f"{place.net}.0.0/16", "via", place.node)


def mount(place: Place) -> None:
    """Lays files of ours over what the kubelet would change for everybody."""
    over = {}
    for target in COMPILED_IN:
        if not os.path.isdir(target):
            with open(MADE, "a", encoding="utf-8") as made:
                made.write(f"{target}\n")
            os.makedirs(target)
        over[target] = place.dir / "compiled-in" / target.strip("/")
        over[target].mkdir(parents=True, exist_ok=True)
    for knob in KNOBS:
        target = Path("/proc/sys") / knob
        if target.exists():
            over[str(target)] = place.dir / "knobs" / knob
            over[str(target)].parent.mkdir(parents=True, exist_ok=True)
            over[str(target)].write_bytes(target.read_bytes())
    for target, source in over.items():
        run(*inside(place), "mount", "--bind", str(source), target)


def leave(place: Place) -> None:
    """Takes away what does not go by itself. Nobody is inside any more."""
    if place.number is not None and alias(place.cable) == str(place.dir):
        run("ip", "link", "delete", place.cable, check=False)
    cgroups.remove(place)
    # Removed, they would be gone from under every other room.
    if MADE.exists() and not any(alias(cable.name) for cable in Path("/sys/class/net").glob("tsn*")):
        for folder in MADE.read_text().split():
            try:
                os.rmdir(folder)
            except OSError:
                pass  # in use by somebody else by now
        MADE.unlink()


def alias(cable: str) -> str:
    """Whose it is."""
    try:
        return Path(f"/sys/class/net/{cable}/ifalias").read_text().strip()
    except OSError:
        return ""


def start(place: Place, name: str) -> None:
    """A part, in here, unless it runs."""
    if not processes.alive(place, name):
        processes.spawn(place, name, [*inside(place), *parts.command(place, name)])


def inside(place: Place) -> list[str]:
    """The words before a command that is to run in the room."""
    return ["nsenter", "--net", "--mount", "--target", str(processes.pid(place, HOLDER)), "--"]
