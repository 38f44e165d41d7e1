"""The program of `node/`, built once for each version of its source."""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from place import Trouble

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "node"
FILES = ("go.mod", "go.sum", "main.go", "pause/main.go")
# A fresh machine that does other things as well is given half an hour.
PATIENCE_S = 5400


def cache() -> Path:
    named = os.environ.get("TESSERA_CLUSTER_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named).resolve() if named else Path(home) / "tessera-cluster"


def ensure() -> Path:
    """The folder that holds `node` and `pause`."""
    folder = cache() / f"node-{fingerprint()}"
    if folder.is_dir():
        return folder
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "node.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            build(folder)
    return folder


def fingerprint() -> str:
    """Of everything that the program is made of, and of how."""
    seen = hashlib.sha256(platform.machine().encode())
    for name in FILES:
        seen.update((SOURCE / name).read_bytes())
    seen.update(" ".join(stamps()).encode())
    return seen.hexdigest()[:16]


def stamps() -> list[str]:
    """The versions that the parts tell; without them they take themselves for v0.0.0 and refuse each other."""
    wanted = dict(re.findall(r"^\t(\S+) (v\S+)$", (SOURCE / "go.mod").read_text(), re.MULTILINE))
    kubernetes, helm = wanted["k8s.io/kubernetes"], wanted["helm.sh/helm/v4"]
    minor = kubernetes.split(".")[1]
    said = {
        "k8s.io/component-base/version.gitVersion": kubernetes,
        "k8s.io/component-base/version.gitMajor": "1",
        "k8s.io/component-base/version.gitMinor": minor,
        "helm.sh/helm/v4/internal/version.version": helm,
        "helm.sh/helm/v4/internal/version.kubeClientVersionMajor": "1",
        "helm.sh/helm/v4/internal/version.kubeClientVersionMinor": minor,
        "helm.sh/helm/v4/pkg/chart/common.k8sVersionMajor": "1",
        "helm.sh/helm/v4/pkg/chart/common.k8sVersionMinor": minor,
        "helm.sh/helm/v4/pkg/chart/v2/lint/rules.k8sVersionMajor": "1",
        "helm.sh/helm/v4/pkg/chart/v2/lint/rules.k8sVersionMinor": minor,
    }
    return [f"-X {name}={value}" for name, value in said.items()]


def build(folder: Path) -> None:
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    command = [go(), "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", " ".join(["-s", "-w", *stamps()])]
    command += ["-o", f"{fresh}/", ".", "./pause"]
    log = cache() / "build.log"
    with open(log, "w", encoding="utf-8") as said:
        streams = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
        try:
            done = subprocess.run(command, cwd=SOURCE, env=environment, timeout=PATIENCE_S, **streams)
        except subprocess.TimeoutExpired:
            raise Trouble(f"building {SOURCE} took longer than {PATIENCE_S} s; what is done is kept: try again") from None
    if done.returncode != 0:
        raise Trouble(f"{SOURCE} cannot be built; see {log}: {log.read_text()[-1000:]}")
    # Its name comes last: an interrupted build leaves none.
    fresh.rename(folder)


def go() -> str:
    """A Go that is new enough; the storages are built with the same."""
    done = subprocess.run([HERE.parent / "engines/storage", "go"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"there is no Go to build with: {done.stderr.strip()}")
    return done.stdout.strip()
