"""Images into the container runtime."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path

from command import run
from place import Place, Trouble
from settings import PAUSE

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def ctr(place: Place) -> list[str]:
    return ["ctr", "--address", str(place.containerd), "--namespace", "k8s.io"]


def answers(place: Place) -> bool:
    return run(*ctr(place), "version", check=False).returncode == 0


def ensure_pause(place: Place, program: Path) -> None:
    """What every pod's namespaces are kept by: one static program, in the form that `docker save` writes."""
    if PAUSE in run(*ctr(place), "images", "list", "--quiet").stdout.split():
        return
    layer = packed({"pause": program.read_bytes()})
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    files = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    feed(place, io.BytesIO(packed({**files, "layer.tar": layer})), PAUSE)
    # The kubelet never collects it.
    run(*ctr(place), "images", "label", PAUSE, "io.cri-containerd.pinned=pinned")


def packed(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(content), 0o755
            tar.addfile(about, io.BytesIO(content))
    return archive.getvalue()


def import_one(place: Place, image: str) -> None:
    if Path(image).is_file():
        with open(image, "rb") as file:
            feed(place, file, image)
        return
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as save:
        try:
            feed(place, save.stdout, image)
        except Trouble:
            if save.wait() == 0:
                raise
            raise Trouble(f"`docker save {image}` failed: {save.stderr.read().decode().strip()}") from None


def feed(place: Place, archive, name: str) -> None:
    command = [*ctr(place), "images", "import", "-"]
    if hasattr(archive, "fileno") and not isinstance(archive, io.BytesIO):
        done = subprocess.run(command, stdin=archive, capture_output=True)
    else:
        done = subprocess.run(command, input=archive.getvalue(), capture_output=True)
    if done.returncode != 0:
        raise Trouble(f"{name} cannot be imported: {done.stderr.decode().strip()}")
