"""The model on paper is arithmetic that can be checked, and the page shows what it prints."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed(*words: str) -> str:
    command = [sys.executable, ROOT / "benchmarks" / "rows" / "scaling.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_page_shows_what_the_command_prints() -> None:
    title, table = printed().strip().split("\n\n")
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert title in page
    assert table in page


def test_a_task_a_tenth_as_large_takes_less_of_everything() -> None:
    small, large = (printed("--images", str(n)).splitlines()[4:] for n in (100_000, 1_000_000))
    assert len(small) == len(large) == 3
    assert small[0] != large[0]
    assert "2.7 min (writing)" in small[0]
    assert "26.7 min (writing)" in large[0]
