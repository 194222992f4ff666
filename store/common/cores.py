"""How many processors there are for this process."""

import os


def usable_cores() -> int:
    """Return the number of processors that this process may use, or of all where a system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
