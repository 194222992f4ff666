"""What `--help` offers and what is registered bear the same names; a name that is missing is said, and where."""

import subprocess
import sys
from pathlib import Path

import pytest
from head2toe.probe import options
from head2toe.probe.heads.kinds import KINDS
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.metrics.classification import METRICS
from head2toe.probe.options import ProbeOptions, require_same_names

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("what", "offered", "registered"),
    [("method", options.METHODS, METHODS), ("head", options.HEADS, KINDS), ("metric", options.METRICS, METRICS)],
)
def test_a_name_in_one_place_alone_is_an_error(
    what: str, offered: tuple[str, ...], registered: dict[str, object]
) -> None:
    require_same_names(what, offered, registered, "a file")
    first, *others = offered
    with pytest.raises(LookupError, match=f"^{what} '{first}' is in a file, and missing in probe/options.py$"):
        require_same_names(what, others, registered, "a file")
    with pytest.raises(LookupError, match=f"^{what} 'new' is offered by probe/options.py, and missing in a file$"):
        require_same_names(what, [*offered, "new"], registered, "a file")


@pytest.mark.parametrize(
    ("names", "module", "registry"),
    [
        ("METHODS", "methods.registry", "METHODS of probe/methods/registry.py"),
        ("HEADS", "heads.kinds", "KINDS of probe/heads/kinds.py"),
        ("METRICS", "metrics.classification", "METRICS of probe/metrics/classification.py"),
    ],
)
def test_the_registries_look_when_they_are_imported(names: str, module: str, registry: str) -> None:
    code = f"from head2toe.probe import options; options.{names} += ('new',); import head2toe.probe.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("LookupError: ")
    assert last.endswith(f"'new' is offered by probe/options.py, and missing in {registry}")


def test_methods_are_told_apart_by_what_they_train() -> None:
    chosen = ProbeOptions(methods=("finetune", "linear", "scratch", "knn"))
    assert chosen.costly == ("finetune", "scratch")
    assert chosen.of_features == ("linear", "knn")
