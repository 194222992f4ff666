"""Text for people: numbers and tables; and by people: YAML, within limits."""

from collections.abc import Iterable, Sequence
from typing import Any

from head2toe.store.common.errors import DataError

_DASH = "–"  # stands for a number that there is not
_MOST_YAML = 100_000  # characters: what people write here is a few lines


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
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise DataError(f"can't read {what}: aliases (*name) are not read here")
        return yaml.safe_load(text)
    except RecursionError as error:
        raise DataError(f"can't read {what}: it is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number or a date that is none
        raise DataError(f"can't read {what}: {' '.join(str(error).split())[:300]}") from error
