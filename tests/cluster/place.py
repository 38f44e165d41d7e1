"""Where the files of one cluster lie, and its addresses."""

import hashlib
import os
import re
from pathlib import Path

# A socket's path has to fit into 108 letters.
LONGEST = 70
# The kubelet, kubectl and all others, by the name that the one program knows them by.
PROGRAMS = (
    "etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet coredns kubectl helm".split()
)


class Trouble(Exception):
    """What the caller is told, in a sentence."""


class Place:
    """One cluster. Its number, and with it its network, is known once it has a room."""

    def __init__(self, folder: str) -> None:
        if os.geteuid() != 0:
            raise Trouble("this takes root: it makes namespaces, mounts and control groups")
        # Processes are recognised by it: always the same words for the same folder.
        self.dir = Path(os.path.realpath(folder))
        if len(self.dir.parts) < 3:
            raise Trouble(f"{self.dir} is no folder of its own")
        if not re.fullmatch(r"[A-Za-z0-9/._-]+", str(self.dir)):
            raise Trouble(f"{self.dir}: the folder's name may hold letters, digits and / . _ - only")
        if len(str(self.dir)) > LONGEST:
            raise Trouble(f"{self.dir} has more than {LONGEST} letters; unix sockets lie in it, and take no more")
        self.bin = self.dir / "bin"
        self.keys = self.dir / "keys"
        self.logs = self.dir / "logs"
        self.pids = self.dir / "pids"
        self.kubeconfig = self.dir / "kubeconfig"
        self.audit_log = self.dir / "audit.log"
        self.containerd = self.dir / "containerd.sock"

    def make(self, program: Path) -> None:
        """The folders, and a link for every program."""
        for name in ("bin", "keys", "logs", "pids", "cni", "registry/_default", "kubelet", "containerd"):
            (self.dir / name).mkdir(parents=True, exist_ok=True)
        self.keys.chmod(0o700)
        for name in PROGRAMS:
            link = self.bin / name
            fresh = self.bin / f"{name}.new"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(program / "node")
            fresh.replace(link)

    def forget(self) -> None:
        """What would be wrong the next time."""
        for path in [self.kubeconfig, self.containerd, Path(f"{self.containerd}.ttrpc")]:
            path.unlink(missing_ok=True)

    @property
    def number(self) -> int | None:
        try:
            return int((self.dir / "number").read_text())
        except (FileNotFoundError, ValueError):
            return None

    @number.setter
    def number(self, number: int) -> None:
        (self.dir / "number").write_text(f"{number}\n")

    @property
    def net(self) -> str:
        return f"10.{192 + self.number}"

    @property
    def host(self) -> str:
        """The machine, as pods see it."""
        return f"{self.net}.255.1"

    @property
    def node(self) -> str:
        """The node, as everybody sees it."""
        return f"{self.net}.255.2"

    @property
    def pods(self) -> str:
        return f"{self.net}.0.0/17"

    @property
    def services(self) -> str:
        return f"{self.net}.128.0/18"

    @property
    def api(self) -> str:
        return f"https://{self.node}:6443"

    @property
    def cgroup(self) -> str:
        """Told from the folder alone: what is in it is ours to end, also when nothing else is left."""
        return f"/tessera-node-{hashlib.sha256(str(self.dir).encode()).hexdigest()[:12]}"

    @property
    def cable(self) -> str:
        """The machine's end of the cable to the node. Whoever has made it has the number."""
        return f"tsn{self.number}"
