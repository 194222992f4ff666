"""Settings as fields of a dataclass: each says once what it is by default, what it may be, and what `--help` says."""

from dataclasses import field, fields
from typing import Any

from head2toe.store.errors import BadRequest


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
        All that it (or each of several) may be; `check_choices` refuses anything else.
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


def check_choices(settings: Any) -> None:
    """Refuse what is none of a setting's choices.

    Raises
    ------
    BadRequest
        Naming the setting, its value and the choices.
    """
    for one in fields(settings):
        value, choices = getattr(settings, one.name), one.metadata["choices"]
        if not choices or value is None:
            continue
        for each in (value,) if isinstance(value, str) else value:
            if each not in choices:
                raise BadRequest(f"{one.name}: {each!r} is none of {', '.join(choices)}")
