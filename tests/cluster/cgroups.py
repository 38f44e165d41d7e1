"""The control groups of a cluster's pods: one of its own in every tree, and all others below it."""

import os
from pathlib import Path

from place import Place


def trees() -> list[Path]:
    """One of all controllers, or in the first version one for each."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    return [tree for tree in root.iterdir() if not tree.is_symlink() and (tree / "cgroup.procs").exists()]


def make(place: Place) -> None:
    for tree in trees():
        group = Path(f"{tree}{place.cgroup}")
        hand_down(tree)
        try:
            group.mkdir(exist_ok=True)
        except OSError:
            continue  # not ours to write, and not the kubelet's
        # A new one has no processors and no memory until it is told which.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (tree / name).exists():
                (group / name).write_text((tree / name).read_text())


def hand_down(tree: Path) -> None:
    """In the second version a group has the controllers that the one above hands down; the kubelet wants them all."""
    control = tree / "cgroup.subtree_control"
    if not control.exists():
        return
    for name in (tree / "cgroup.controllers").read_text().split():
        try:
            control.write_text(f"+{name}")
        except OSError:
            pass  # the kubelet says which one it misses


def members(place: Place) -> set[int]:
    """Every process in them."""
    found = set()
    for tree in trees():
        for folder, _, files in os.walk(f"{tree}{place.cgroup}"):
            if "cgroup.procs" in files:
                found.update(int(line) for line in Path(folder, "cgroup.procs").read_text().split())
    return found


def remove(place: Place) -> None:
    """Nobody is in them any more."""
    for tree in trees():
        for folder, _, _ in os.walk(f"{tree}{place.cgroup}", topdown=False):
            os.rmdir(folder)
