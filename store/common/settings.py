"""Settings as fields of a dataclass: each says once what it is by default, what it may be, and what `--help` says."""

from collections.abc import Collection, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Self

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
    bare: str | None = None,
) -> Any:
    """Make a dataclass field that the command line offers as an option (see `cli.setting_options`).

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
    bare : str, optional
        The choice that the option stands for where no word follows it. The field is True then, and False by default.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "kind": kind or type(default),
        "several": several,
        "listed": listed,
        "flag": flag,
        "every": every or choices,
        "bare": bare,
    }
    return field(default=default, metadata=metadata)


def flag_of(name: str, metadata: Mapping[str, Any]) -> str:
    """Name the option of a field, from the field's name and metadata: `--target-size` for `target_sizes`."""
    return "--" + (metadata["flag"] or name).replace("_", "-")


class Settings:
    """A base for dataclasses whose fields are made by `setting`; it refuses values that are none of the choices.

    One that has more to check does so in a `__post_init__` of its own, after its super's.

    Raises
    ------
    BadRequest
        A value is none of its field's choices.
    """

    def __post_init__(self) -> None:
        for attribute in fields(self):  # type: ignore[arg-type]
            value, choices = getattr(self, attribute.name), attribute.metadata["choices"]
            if not choices or value is None or (attribute.metadata["bare"] and isinstance(value, bool)):
                continue
            for part in value if attribute.metadata["listed"] else (value,):
                if part not in choices:
                    raise BadRequest(f"{attribute.name}: {part!r} is none of {', '.join(choices)}")

    def document(self) -> dict[str, Any]:
        """Return all settings as what JSON can hold: tuples as lists, paths as text."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return {key: str(value) if isinstance(value, Path) else value for key, value in plain.items()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the settings that `document` returned; those of another version that are not known here are left out.

        Raises
        ------
        BadRequest
            A value is none of its field's choices.
        """
        values: dict[str, Any] = {}
        for attribute in fields(cls):  # type: ignore[arg-type]
            if attribute.name in document:
                value = document[attribute.name]
                if isinstance(value, str) and issubclass(attribute.metadata["kind"], Path) and "://" not in value:
                    value = Path(value)
                values[attribute.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def words(self, *, leave_out: Collection[str] = ()) -> list[str]:
        """Return the settings that differ from their defaults as words of a command line, but for those left out."""
        words: list[str] = []
        for attribute in fields(self):  # type: ignore[arg-type]
            values, defaults = _several(getattr(self, attribute.name)), _several(attribute.default)
            if values == defaults or attribute.name in leave_out:
                continue
            flag = flag_of(attribute.name, attribute.metadata)
            values = (",".join(values),) if attribute.metadata["listed"] else values
            words += [flag] if values == (True,) else [word for value in values for word in (flag, str(value))]
        return words


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
