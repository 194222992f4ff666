"""What all commands share: errors as one line, JSON, an option for every setting, the checks of `doctor`."""

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, cast

import click
from head2toe.store.common.errors import Head2ToeError, Refused, device_error
from head2toe.store.common.files import in_words
from head2toe.store.common.settings import flag_of
from head2toe.store.console import interrupts
from head2toe.store.console.text import json_text, without_controls

OUT_OF_MEMORY = "memory ran out: give the process more, or take a smaller --batch-size"
_ELSEWHERE = "write it elsewhere"


class Command(click.Command):
    """A command some of whose options may stand without their word: `--amp TASK` beside `--amp bfloat16 TASK`.

    Click takes whatever follows for the word; here it is one only if it is among the option's choices.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give options that stand alone the word that they stand for."""
        bare = {flag: option for option in self.params if isinstance(option, Bare) for flag in option.opts}
        end = args.index("--") if "--" in args else len(args)
        for i in range(end):
            if (option := bare.get(args[i])) and not (i + 1 < end and args[i + 1] in option.words):
                args[i] = f"{args[i]}={option.stands_for}"
        return super().parse_args(ctx, args)


class Bare(click.Option):
    """An option that may stand without its word.

    Attributes
    ----------
    stands_for : str
        The word that is meant then.
    words : tuple of str
        All that may follow it.
    """

    def __init__(self, *args: Any, stands_for: str, words: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stands_for, self.words = stands_for, words


class Commands(click.Group):
    """A group that turns the library's errors into one line and an exit code."""

    command_class = Command

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the options of the group, some of which print something and end the command."""
        try:
            return super().make_context(*args, **options)
        except BrokenPipeError:
            raise
        except OSError as error:
            echo(f"Error: standard output: {in_words(error, another=_ELSEWHERE)}", err=True)
            raise click.exceptions.Exit(1) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; `--debug` lets the traceback through."""
        try:
            with interrupts.raised():
                return super().invoke(ctx)
        except BrokenPipeError:  # `| head` has read enough: click ends without a word
            raise
        except (Head2ToeError, OSError) as error:
            if ctx.params["debug"]:
                raise
            message = in_words(error) if isinstance(error, OSError) else str(error)
            echo(f"Error: {' '.join(message.split())}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))
        except Exception as error:
            known = device_error(error) or (OUT_OF_MEMORY if _is_out_of_memory(error) else None)
            if ctx.params["debug"] or known is None:
                raise
            echo(f"Error: {known}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt as interrupt:
            echo(interrupts.MESSAGE, err=True)
            sys.exit(getattr(interrupt, "exit_code", 130))


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory or threads ran out; torch says so by a RuntimeError (`torch.OutOfMemoryError` is one)."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "can't start new thread")
    said = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return isinstance(error, MemoryError) or said


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
"""The option `--json` of every command that has something to show."""


def echo(text: str, *, err: bool = False) -> None:
    """Print text for people, with control characters written out: names in it are whatever their owners chose."""
    with _standard_stream():
        click.echo(without_controls(text, keep="\n"), err=err)


@contextmanager
def _standard_stream() -> Iterator[None]:
    """Say what could not be written: the error itself names no file. A reader that has gone is none (`| head`)."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(f"standard output: {in_words(error, another=_ELSEWHERE)}") from error


class _Terminal(io.TextIOBase):
    """A terminal that gets text with control characters written out."""

    def __init__(self, terminal: IO[str]) -> None:
        self._terminal = terminal

    def writable(self) -> bool:
        """It is written to."""
        return True

    def write(self, text: str) -> int:
        """Write text, and return how long it was."""
        self._terminal.write(without_controls(text, keep="\n"))
        return len(text)

    def flush(self) -> None:
        """Have the terminal show it."""
        self._terminal.flush()


def data_stdout() -> IO[str]:
    """Return stdout for a table: into a file or pipe it goes as it is, to a terminal without control characters."""
    return cast("IO[str]", _Terminal(sys.stdout)) if sys.stdout.isatty() else sys.stdout


def show(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command; a character that a terminal would obey is JSON's own escape."""
    with _standard_stream():
        click.echo(json_text(document, indent=2))


def setting_options(*settings: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for every setting of some dataclasses, in their order, with its default shown.

    Parameters
    ----------
    *settings : type
        Dataclasses whose fields are made by `settings.setting`.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed([field for record in settings for field in fields(record)]):
            flag, help = flag_of(field.name, field.metadata), field.metadata["help"]
            command = click.option(flag, field.name, help=help, **_attributes(field))(command)
        return command

    return decorate


class Folder(click.Path):
    """A folder, which need not be there yet; what is a URL stays the text that it was, for a path loses slashes."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make a path of a word that is no URL."""
        return value if isinstance(value, str) and "://" in value else super().convert(value, param, ctx)


def _attributes(field: "Field[Any]") -> dict[str, Any]:
    """Return what click has to know of an option: its type, its default, and whether it may be repeated."""
    metadata, default = field.metadata, field.default
    attributes: dict[str, Any] = {"default": default, "show_default": default is not None}
    if metadata["bare"]:
        words = metadata["choices"]
        attributes = {"cls": Bare, "stands_for": metadata["bare"], "words": words, "type": click.Choice(words)}
        attributes |= {"default": None, "callback": lambda _ctx, _option, word: word or False}
    elif metadata["kind"] is bool:
        attributes = {"is_flag": True}
    elif metadata["listed"]:
        attributes |= {"default": ",".join(default), "callback": listed_names(metadata["every"])}  # type: ignore[arg-type]
        attributes["show_default"] = bool(default)
    elif metadata["choices"]:
        attributes["type"] = click.Choice(metadata["choices"])
    elif issubclass(metadata["kind"], Path):
        attributes["type"] = Folder()
    else:
        attributes["type"] = metadata["kind"]
    if metadata["several"]:
        attributes |= {"multiple": True, "default": default if isinstance(default, tuple) else (default,)}
    return attributes


def listed_names(every: tuple[str, ...] | None) -> Callable[..., tuple[str, ...]]:
    """Return a callback for click that reads `a,b` as names, and `all` as what it stands for.

    Of a setting with choices a name counts once; one that has none is told of names that are there twice.
    """

    def parts(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:  # noqa: ARG001
        names = tuple(part.strip() for part in value.split(","))
        if every is None:
            return names if value else ()
        return every if value == "all" else tuple(dict.fromkeys(names))

    return parts


@dataclass(frozen=True)
class Check:
    """One line of `doctor`.

    Attributes
    ----------
    name : str
        What was checked, in a word or two.
    state : {"ok", "note", "FAIL"}
        A note is worth knowing and no fault.
    text : str
        What the check showed.
    remedy : str
        What to do about it; never empty for a FAIL.
    """

    name: str
    state: str
    text: str
    remedy: str = ""


def echo_checks(checks: Sequence[Check], versions: Mapping[str, str], as_json: bool) -> bool:
    """Print the checks of `doctor`, as JSON with the packages' versions; returns whether none of them failed."""
    failures = sum(check.state == "FAIL" for check in checks)
    if as_json:
        show({"ok": not failures, "checks": list(map(asdict, checks)), "versions": versions})
        return not failures
    for check in checks:
        echo(f"{check.state:<5} {check.name:<11} {check.text}")
        if check.remedy:
            echo(f"{'':<17} -> {check.remedy}")
    echo(f"{failures} of {len(checks)} checks failed" if failures else "nothing is wrong")
    return not failures
