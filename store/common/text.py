"""Numbers and tables as text for people."""

import re
from collections.abc import Iterable, Sequence

_DASH = "–"  # stands for a number that there is not


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


def file_name(text: str) -> str:
    """Make a part of a file's name of any text: what is no letter, digit, `_`, `.`, `+` or `-` becomes `_`."""
    return re.sub(r"[^\w.+-]+", "_", text)[-100:]
