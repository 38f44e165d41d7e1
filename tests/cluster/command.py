"""A program that is waited for."""

import shlex
import subprocess

from place import Trouble


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise Trouble(f"`{shlex.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done
