"""What comes from Debian."""

import os
import shutil
import subprocess
from pathlib import Path

from place import Trouble

# Something that the package brings, and the package.
NEEDED = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}


def ensure() -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for name, package in NEEDED.items() if not there(name, path)})
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Trouble(f"missing here: {names}. Installing takes root and apt-get; install them by hand, then try again")
    apt("update")
    apt("install", "--yes", "--no-install-recommends", *missing)


def there(name: str, path: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name, path=path) is not None


def apt(*words: str) -> None:
    # One at a time: apt-get waits for another one's installing, and not for its update.
    alone = ["flock", "--timeout", "900", "/tmp/tessera-apt.lock"]
    command = [*alone, "apt-get", "-o", "DPkg::Lock::Timeout=300", *words]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"`{' '.join(command)}` failed: {done.stderr[-1000:]}")
