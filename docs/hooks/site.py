"""What MkDocs does not do by itself: formulas as MathML, so that a page needs no script and no network; API by path.

`make docs` runs it. The package has no `__init__.py`, and the tool that reads docstrings wants them: it is shown the
same files through links in `.cache/docs`, beside empty ones.
"""

import html
import re
import shutil
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[2]
LINKED = ROOT / ".cache" / "docs" / "head2toe"
ROOMS = ("extract", "probe", "select", "store")
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\(?P<kind>[(\[])(?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_startup(**_: Any) -> None:
    """Link the sources where the API reference is read from, each folder a package there."""
    files = [ROOT / "pipeline.py", *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))]
    shutil.rmtree(LINKED, ignore_errors=True)
    for file in files:
        link = LINKED / file.relative_to(ROOT)
        link.parent.mkdir(parents=True, exist_ok=True)
        (link.parent / "__init__.py").touch()
        link.symlink_to(file)


def on_page_content(content: str, **_: Any) -> str:
    """Formulas, which arithmatex marked, as MathML."""
    return FORMULA.sub(_formula, content)


def _formula(formula: re.Match[str]) -> str:
    tex = html.unescape(formula["tex"])
    display = "block" if formula["kind"] == "[" else "inline"
    return convert(re.sub(r"\\mathrm\{(\w+)\}", r"\\text{\1}", tex), display=display)
