"""What all commands share: options made of settings, JSON, checks shown, errors as one line."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import click
from head2toe.store.common.errors import Head2ToeError
from head2toe.store.common.files import in_words
from head2toe.store.common.settings import flag_of

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")


def show(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@dataclass(frozen=True)
class Check:
    """One line of `doctor`.

    Attributes
    ----------
    name : str
    state : {"ok", "note", "FAIL"}
        A note is worth knowing and no fault.
    text : str
        What was found.
    remedy : str
        What to do about it; never empty for a FAIL.
    """

    name: str
    state: str
    text: str
    remedy: str = ""


def echo_checks(checks: Sequence[Check], versions: Mapping[str, str], as_json: bool) -> bool:
    """Show what `doctor` found; whether nothing is wrong."""
    wrong = sum(check.state == "FAIL" for check in checks)
    if as_json:
        show({"ok": not wrong, "checks": list(map(asdict, checks)), "versions": versions})
        return not wrong
    for check in checks:
        click.echo(f"{check.state:<5} {check.name:<11} {check.text}")
        if check.remedy:
            click.echo(f"{'':<17} -> {check.remedy}")
    click.echo(f"{wrong} of {len(checks)} checks failed" if wrong else "nothing is wrong")
    return not wrong


def setting_options(*settings: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for every setting of some dataclasses (`store.settings`), in their order, with its default shown."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed([field for one in settings for field in fields(one)]):
            told, default = field.metadata, field.default
            form: dict[str, Any] = {"default": default, "show_default": default is not None}
            if told["kind"] is bool:
                form = {"is_flag": True}
            elif told["listed"]:
                form |= {"default": ",".join(default), "callback": _parts(told["every"])}
            elif told["choices"]:
                form["type"] = click.Choice(told["choices"])
            elif issubclass(told["kind"], Path):
                form["type"] = click.Path(path_type=Path, file_okay=False)
            else:
                form["type"] = told["kind"]
            if told["several"]:
                form |= {"multiple": True, "default": default if isinstance(default, tuple) else (default,)}
            command = click.option(flag_of(field.name, told), field.name, help=told["help"], **form)(command)
        return command

    return decorate


def _parts(every: tuple[str, ...]) -> Callable[..., tuple[str, ...]]:
    """For click: `a,b` as names, each once; `all` is what it stands for."""

    def parts(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:  # noqa: ARG001
        return every if value == "all" else tuple(dict.fromkeys(part.strip() for part in value.split(",")))

    return parts


class Commands(click.Group):
    """A group that turns the library's errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; `--debug` lets the traceback through."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `| head` has read enough: click ends without a word
            raise
        except (Head2ToeError, OSError) as error:
            if ctx.params["debug"]:
                raise
            said = in_words(error) if isinstance(error, OSError) else str(error)
            click.echo(f"Error: {' '.join(said.split())}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))
        except KeyboardInterrupt:
            click.echo("interrupted: what was finished is kept; run the same command again to go on", err=True)
            sys.exit(130)
