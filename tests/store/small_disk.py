"""A small file system that is really there: a tmpfs, mounted in a namespace that a process has for itself."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

_NAMESPACE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


def run_with_small_disk(
    command: list[str], folder: Path, size: str, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command for which a folder is a disk of its own; skip the test where none can be mounted."""
    mounted = f"mount -t tmpfs -o size={size} none {folder}"
    try:
        possible = subprocess.run([*_NAMESPACE, mounted], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("no file system can be mounted here (needs unshare and user namespaces)")
    words = [*_NAMESPACE, f'{mounted} && exec "$0" "$@"', *command]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)
