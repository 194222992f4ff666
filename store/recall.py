"""Recalling what was computed before: names made of everything a result depends on, the code included."""

import hashlib
import json
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parents[1]


def fingerprint(value: Any) -> str:
    """Sha256 (hex) of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_fingerprint(*places: str) -> str:
    """Hash of the source of some rooms or files of the house: a result is recalled only by the code that made it."""
    files = [file for place in places for file in (sorted((HOUSE / place).glob("*.py")) or [HOUSE / place])]
    return fingerprint([file.read_text(encoding="utf-8") for file in files])
