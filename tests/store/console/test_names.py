"""Names that somebody else chose, on a terminal and in JSON."""

import csv
import io
import json

import click
import pytest
from click.testing import CliRunner
from head2toe.store.console.cli import data_stdout, echo, show
from head2toe.store.console.text import markdown_text, without_controls

STEERING = ["\x1b[2J", "\x9b31m", "\r", "\x07", "\u202e", "\u2066", "\u2028", "\x7f", "\x00", "\udce9"]


@pytest.mark.parametrize("control", STEERING)
def test_no_control_character_reaches_the_terminal(control: str) -> None:
    @click.command()
    def command() -> None:
        echo(f"one {control} two\nthree")
        echo(f"one {control} two", err=True)
        show({"name": f"one {control} two"})

    result = CliRunner().invoke(command)
    assert result.exit_code == 0, result.output
    assert not set(control) & set(result.output) - set("[2J31m")
    assert "one " in result.stdout
    assert json.loads(result.stdout[result.stdout.index("{") :]) == {"name": f"one {control} two"}


@pytest.mark.parametrize("control", STEERING)
def test_tables_have_none_on_a_terminal_and_stay_whole_in_a_pipe(control: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        out = io.StringIO()
        out.isatty = lambda terminal=terminal: terminal  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdout", out)
        csv.writer(data_stdout(), lineterminator="\n").writerow(["name", f"one {control} two"])
        click.echo(f"one {control} two", data_stdout())
        assert (control in out.getvalue()) is not terminal
        assert out.getvalue().count("\n") == 2


@pytest.mark.parametrize("name", ["crane, bird", "é🐱", "👩‍🔬", "日本", "a\u0301", "naïve café", "x" * 300])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert without_controls(name) == name
    assert markdown_text(name) == name


def test_markup_is_text() -> None:
    assert markdown_text("<b>|*_`[~\\ &\n x") == r"&lt;b>\|\*\_\`\[\~\\ &amp; x"
