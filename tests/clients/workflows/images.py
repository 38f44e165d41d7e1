"""Images in which an engine's jobs find the engine: Debian's Python, and what the engine's own Python has installed."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

BASE = "tessera-test/debian:1"
LABEL = "tessera-test.hash"
WHERE = "/opt/engine"


def image(name, python, programs, tag="1"):
    """The image `tessera-test/NAME:TAG`; made anew only when what it holds has changed."""
    python = Path(python)
    reference = "tessera-test/%s:%s" % (name, tag)
    site = Path(said(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    ours = said(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    base = said("docker", "image", "inspect", "--format", "{{.Id}}", BASE)
    made_of = [base, ours, *sorted(path.name for path in site.iterdir()), *sorted(programs.items()), Path(__file__).read_text()]
    wanted = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    has = subprocess.run(
        ["docker", "image", "inspect", "--format", '{{index .Config.Labels "%s"}}' % LABEL, reference],
        capture_output=True, text=True,
    ).stdout.strip()
    if has == wanted:
        return reference

    theirs = said("docker", "run", "--rm", BASE, "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert ours == theirs, "%s is Python %s and that of %s is %s: compiled modules would not load" % (python, ours, BASE, theirs)
    container = said("docker", "create", BASE, "true")
    try:
        copied = subprocess.Popen(["docker", "cp", "-", container + ":/"], stdin=subprocess.PIPE)
        with copied.stdin, tarfile.open(fileobj=copied.stdin, mode="w|") as tar:
            tar.add(site, WHERE, filter=root_owns)
            for program, text in {**scripts(python.parent), **programs}.items():
                entry = tarfile.TarInfo("usr/local/bin/" + program)
                entry.mode, entry.size = 0o755, len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
        assert copied.wait() == 0, "docker cp failed"
        changes = ["--change", "ENV PYTHONPATH=" + WHERE, "--change", "LABEL %s=%s" % (LABEL, wanted)]
        said("docker", "commit", *changes, container, reference)
    finally:
        said("docker", "rm", container)
    return reference


def scripts(folder):
    """The programs that pip has made; their first line names the Python that they are for, which is another one there."""
    found = {}
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_file() or path.read_bytes()[:2] != b"#!":
            continue
        first, rest = path.read_text().split("\n", 1)
        if first.endswith("python") or first.endswith("python3"):
            found[path.name] = "#!/usr/bin/python3\n" + rest
    return found


def root_owns(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return None if entry.name.endswith("__pycache__") else entry


def said(*argv):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    assert done.returncode == 0, "%s: %s%s" % (" ".join(map(str, argv)), done.stdout, done.stderr)
    return done.stdout.strip()
