"""The command `try`."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from head2toe.store.console.cli import echo, json_option, setting_options, show

if TYPE_CHECKING:
    from head2toe.probe.planning.backbone_trials import Tried

MOST_IMAGES = 400


def try_command(loads: Callable[[str, Any], Any], makes: Callable[[Any, Any], Any], options: type) -> click.Command:
    """Make the command `try`; what loads a task and what extracts is handed in, for this room does not."""

    @click.command("try")
    @click.argument("task")
    @setting_options(options)
    @click.option(
        "--images",
        type=click.IntRange(min=1),
        default=MOST_IMAGES,
        show_default=True,
        help="Training images of the last round at most.",
    )
    @json_option
    def try_backbones(task: str, images: int, as_json: bool, **given: Any) -> None:
        """Say which backbone, layers and target size suit TASK, before all of its images are extracted.

        A few hundred training images; what does worse is left out, round by round. `run` extracts only the rest.

        Example: head2toe try my_task --backbone tf_efficientnet_lite0 --backbone resnet18 --target-size 512
        """
        from head2toe.probe.commands import echo_failures
        from head2toe.probe.methods.failures import Failures
        from head2toe.probe.planning.backbone_trials import LAYERS, halving

        chosen = replace(options(**given), methods=tuple(LAYERS))
        whole = loads(task, chosen)
        failures = Failures()
        rounds = list(halving(whole, chosen, images, makes, failures))
        echo_failures(failures.errors, "other contenders")
        document = _document(whole, rounds) | ({"failures": failures.errors} if failures.errors else {})
        if as_json:
            show(document)
        else:
            _echo(document)
        if failures.errors:
            sys.exit(1)

    return try_backbones


def _document(task: Any, rounds: "Sequence[Sequence[Tried]]") -> dict[str, Any]:
    """Everything that was tried, what is recommended, and what the rest of the images would cost."""
    last_of = {one.contender: (number, one) for number, found in enumerate(rounds, start=1) for one in found}
    best = rounds[-1][0]
    level = [one for one in rounds[-1] if one.behind(best)[0] <= one.behind(best)[1]]
    chosen = min(level, key=lambda one: (one.flops, one.bytes, -one.accuracy))
    entries = []
    for number, one in sorted(last_of.values(), key=lambda pair: (-pair[0], -pair[1].accuracy, pair[1].log_loss)):
        behind, error = one.behind(rounds[number - 1][0])
        entries.append(_entry(one) | {"round": number, "behind": round(behind, 4), "stderr": round(error, 4)})
    left = len(task.images) - chosen.images
    seconds = next((one.seconds for found in rounds for one in found if _same(one, chosen) and one.seconds), None)
    rest = {"images": left, "bytes": round(left * chosen.bytes), "flops": left * chosen.flops}
    return {
        "task": task.name,
        "rounds": [found[0].images for found in rounds],
        "tried": entries,
        "recommended": _entry(chosen),
        "rest": rest | {"seconds": None if seconds is None else round(left * seconds, 1)},
    }


def _same(one: "Tried", other: "Tried") -> bool:
    return one.contender.backbone == other.contender.backbone


def _entry(one: "Tried") -> dict[str, Any]:
    contender = one.contender
    return {
        "backbone": contender.backbone,
        "target_size": contender.target_size,
        "method": contender.method,
        "images": one.images,
        "accuracy": round(one.accuracy, 4),
        "log_loss": round(one.log_loss, 4),
        "flops_per_image": one.flops,
        "bytes_per_image": round(one.bytes),
        "seconds_per_image": None if one.seconds is None else round(one.seconds, 4),
    }


def _echo(document: dict[str, Any]) -> None:
    """Show a row for each contender, the recommendation, and what the rest costs."""
    from head2toe.probe.planning.backbone_trials import LAYERS
    from head2toe.store.console.text import readable, table

    rows = [
        (
            one["backbone"],
            LAYERS[one["method"]],
            str(one["target_size"]),
            str(one["images"]),
            f"{100 * one['accuracy']:.1f}",
            f"{100 * one['behind']:.1f} ± {100 * one['stderr']:.1f}",
            f"{one['flops_per_image'] / 1e9:.2f}",
            readable(one["bytes_per_image"]),
        )
        for one in document["tried"]
    ]
    head = ("backbone", "reads", "target size", "images", "accuracy", "behind the best", "GFLOP", "an image stored")
    echo(table(head, rows))
    one, rest = document["recommended"], document["rest"]
    echo(f"\nrecommended  {one['backbone']}, {LAYERS[one['method']]}, target size {one['target_size']}")
    echo("             the cheapest within one standard error of the best, on the same images")
    took = "" if rest["seconds"] is None else f", {rest['seconds']:.0f} s at the rate of these"
    echo(f"the rest     {rest['images']:,} images: {readable(rest['bytes'])}{took}")
