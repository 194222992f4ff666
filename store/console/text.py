"""Text for people: numbers and tables, names that somebody else chose; and by people: YAML, within limits."""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from head2toe.store.common.errors import DataError

_DASH = "–"  # stands for a number that there is not
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories: controls, what UTF-8 can't hold, ends of lines
_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # its classes that turn the direction of text
_MARKUP = "\\`*_[|~"
_ENTITIES = {"<": "&lt;", "&": "&amp;"}
_MOST_YAML = 100_000  # characters: what people write here is a few lines
_DEEPEST_YAML = 50  # levels


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay cells out in plain columns, under a header: the first column aligned left, the others right."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def without_controls(text: str, *, keep: str = "") -> str:
    r"""Write out control characters as escapes (`\x1b`), so that a name can't steer the terminal that shows it.

    Parameters
    ----------
    text : str
        Any text, such as the name of a file or a class.
    keep : str
        Control characters that stay, such as the end of a line.

    Returns
    -------
    str
        The text with every other control character, and every one that turns the direction of text, written out.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if _steers(char) and char not in keep else char for char in text
    )


def json_text(value: Any, indent: int | None = None) -> str:
    """Write JSON; where a character is in it that a terminal would obey, all beyond ASCII as JSON's own escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return json.dumps(value, indent=indent) if without_controls(text, keep="\n") != text else text


def _steers(char: str) -> bool:
    return unicodedata.category(char) in _CONTROLS or unicodedata.bidirectional(char) in _TURNS


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a cell of CSV begins with that spreadsheets run as a formula."""


def path_cell(path: str) -> str:
    """Return a path as no spreadsheet runs it as a formula: `./=1.png` names the file that `=1.png` names."""
    return f"./{path}" if path.startswith(FORMULA_STARTS) else path


def class_cell(name: str, *, safe: bool) -> str:
    """Return a class name as a cell of CSV; where it has to be safe, with ' before what a spreadsheet would run."""
    return f"'{name}" if safe and name.startswith(FORMULA_STARTS) else name


def markdown_text(text: str) -> str:
    """Escape text so that it stands in Markdown as it is and in one line: no markup, no HTML, no cell of a table."""
    line = " ".join(without_controls(" ".join(text.split())).split())
    return "".join(f"\\{char}" if char in _MARKUP else _ENTITIES.get(char, char) for char in line)


def readable(nbytes: float) -> str:
    """Write a number of bytes with a decimal unit: 1.5 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "bytes" or nbytes >= 100 else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def days(seconds: float) -> str:
    """Write a duration, given in seconds, in days with one decimal: 2.5 days."""
    return f"{seconds / 86400:.1f} days"


def percent(share: float) -> str:
    """Write a share (0 to 1) in percent with one decimal: 12.5 %."""
    return f"{100 * share:.1f} %"


def decimal(value: float | None) -> str:
    """Write a number with three decimals, None as a dash."""
    return _DASH if value is None else f"{value:.3f}"


def plus_minus(mean: float | None, stderr: float | None) -> str:
    """Write a mean ± its standard error with three decimals; an error of None is left out, a mean of None is a dash."""
    return decimal(mean) + ("" if stderr is None else f" ± {stderr:.3f}")


def interval(ends: Sequence[float] | None) -> str:
    """Write the two ends of an interval with three decimals, None as a dash."""
    return _DASH if ends is None else f"{ends[0]:.3f} – {ends[1]:.3f}"


def parse_yaml(text: str, what: str) -> Any:
    """Parse YAML of a few lines, without aliases: some hundred bytes of nested ones stand for more than memory holds.

    Parameters
    ----------
    text : str
        The document.
    what : str
        What a message calls it.

    Raises
    ------
    DataError
        It is no YAML, has aliases, is nested too deeply, or longer than 100,000 characters.
    """
    import yaml  # not at the top: `head2toe --help` needs none

    if len(text) > _MOST_YAML:
        raise DataError(f"can't read {what}: {len(text):,} characters, {_MOST_YAML:,} are the most")
    opens = (
        yaml.BlockMappingStartToken,
        yaml.BlockSequenceStartToken,
        yaml.FlowMappingStartToken,
        yaml.FlowSequenceStartToken,
    )
    closes = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
    try:
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise DataError(f"can't read {what}: aliases (*name) are not read here")
            depth += isinstance(token, opens) - isinstance(token, closes)
            if depth > _DEEPEST_YAML:  # the scanner's time grows with the square of the depth
                raise DataError(f"can't read {what}: it is nested too deeply")
        return yaml.safe_load(text)
    except RecursionError as error:
        raise DataError(f"can't read {what}: it is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number or a date that is none
        raise DataError(f"can't read {what}: {' '.join(str(error).split())[:300]}") from error


def file_name(text: str) -> str:
    """Make a part of a file's name of any text: what is no letter, digit, `_`, `.`, `+` or `-` becomes `_`."""
    return re.sub(r"[^\w.+-]+", "_", text)[-100:]
