"""Settings as fields of a dataclass: each says once what it is by default, what it may be, and what `--help` says."""

from collections.abc import Collection
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import BadRequest


def setting(
    default: Any,
    help: str = "",
    *,
    choices: tuple[str, ...] | None = None,
    kind: type | None = None,
    several: bool = False,
    listed: bool = False,
    every: tuple[str, ...] | None = None,
    flag: str | None = None,
) -> Any:
    """A dataclass field that the command line offers as an option (`store.commands.setting_options`).

    Parameters
    ----------
    default
        The field's default.
    help : str
        One line for `--help`.
    choices : tuple of str, optional
        All that it (or each of several) may be; `Settings` refuses anything else.
    kind : type, optional
        int, str or Path, where the default does not show it.
    several : bool
        Whether the option can be given more than once.
    listed : bool
        Whether the option is one word with commas, each part one of the choices, or `all`.
    every : tuple of str, optional
        What `all` stands for, if not every choice.
    flag : str, optional
        The option's name where it is not the field's.
    """
    told = {"help": help, "choices": choices, "kind": kind or type(default), "several": several, "listed": listed}
    return field(default=default, metadata=told | {"flag": flag, "every": every or choices})


def flag_of(name: str, told: Any) -> str:
    """`--target-size` for the field `target_sizes`."""
    return "--" + (told["flag"] or name).replace("_", "-")


class Settings:
    """What dataclasses of settings share. One that has more to check does so in `__post_init__`, after its super's."""

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]
            value, choices = getattr(self, one.name), one.metadata["choices"]
            if not choices or value is None:
                continue
            for each in value if one.metadata["listed"] else (value,):
                if each not in choices:
                    raise BadRequest(f"{one.name}: {each!r} is none of {', '.join(choices)}")

    def document(self) -> dict[str, Any]:
        """As JSON."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return {key: str(value) if isinstance(value, Path) else value for key, value in plain.items()}

    def words(self, *, leave_out: Collection[str] = ()) -> list[str]:
        """What of them is not as by default, as words of a command line."""
        words: list[str] = []
        for one in fields(self):  # type: ignore[arg-type]
            values, usual = _several(getattr(self, one.name)), _several(one.default)
            if values == usual or one.name in leave_out:
                continue
            flag = flag_of(one.name, one.metadata)
            values = (",".join(values),) if one.metadata["listed"] else values
            words += [flag] if values == (True,) else [word for each in values for word in (flag, str(each))]
        return words


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
