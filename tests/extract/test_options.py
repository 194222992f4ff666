"""Backbones and their weights are paired in order, from Python and on the command line."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from click.testing import CliRunner
from head2toe.extract.options import ExtractOptions
from head2toe.pipeline import Options, main, run
from head2toe.store.common.errors import BadRequest


@pytest.mark.parametrize(
    ("backbone", "weights", "pairs"),
    [
        ("a", None, [("a", None)]),
        ("a", ("x",), [("a", "x")]),
        (("a", "b"), None, [("a", None), ("b", None)]),
        (("a", "b"), "random", [("a", "random"), ("b", "random")]),
        (("a", "b"), ["x", "y"], [("a", "x"), ("b", "y")]),
        (("a", "a", "b"), None, [("a", None), ("b", None)]),
        (("a", "a"), ("x", "y"), [("a", "x"), ("a", "y")]),
        ("a", Path("x.pt"), [("a", "x.pt")]),
    ],
)
def test_weights_belong_to_backbones_in_order(backbone: Any, weights: Any, pairs: Any) -> None:
    options = ExtractOptions(backbone=backbone, weights=weights)
    assert list(options.networks) == pairs
    assert [(each.backbone, each.weights) for each in options.of_each_backbone()] == pairs


@pytest.mark.parametrize(("backbone", "weights"), [("a", ("x", "y")), (("a", "b", "c"), ("x", "y"))])
def test_too_few_or_many_weights_are_refused(backbone: Any, weights: Any) -> None:
    with pytest.raises(BadRequest, match=r"2 times --weights for \d backbones"):
        ExtractOptions(backbone=backbone, weights=weights)


def test_one_weights_is_recorded_as_before() -> None:
    assert Options(weights=("random",)).document()["weights"] == "random"
    assert Options(backbone=("a", "b"), weights=("x", "y")).words() == [
        *("--backbone", "a", "--backbone", "b", "--weights", "x", "--weights", "y")
    ]


def test_one_run_reads_networks_with_their_own_weights(image_folder: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / f"{seed}.pth")
    common = ["--backbone", "test_resnet", "--backbone", "test_resnet", "--input-size", "32", "--taps", "pre_logits"]
    words = [
        "run",
        str(image_folder),
        *common,
        "--weights",
        "1.pth",
        "--weights",
        "2.pth",
        "--methods",
        "linear",
        "--json",
    ]
    shown = CliRunner().invoke(main, words)
    assert shown.exit_code == 0, shown.output
    result = run(
        str(image_folder),
        backbone=("test_resnet", "test_resnet"),
        weights=("1.pth", "2.pth"),
        input_size=32,
        taps="pre_logits",
        methods=("linear",),
    )
    assert result.recalled
    networks = result.record["backbones"]
    assert [network["weights"] for network in networks] == ["file:1.pth", "file:2.pth"]
    assert networks[0]["weights_sha256"] != networks[1]["weights_sha256"]


def test_a_folder_of_weights_makes_a_run_and_a_model(image_folder: Path, tmp_path: Path) -> None:
    """Its name has slashes, which a result's folder can't have."""
    from timm.models import save_for_hf

    save_for_hf(timm.create_model("test_resnet"), tmp_path / "saved", safe_serialization=True)
    words = ["run", str(image_folder), "--backbone", f"local-dir:{tmp_path}/saved", "--input-size", "32"]
    words += ["--taps", "pre_logits", "--methods", "linear", "--save-model", "model"]
    shown = CliRunner().invoke(main, words)
    assert shown.exit_code == 0, shown.output
    photo = next(image_folder.rglob("*.png"))
    assert CliRunner().invoke(main, ["predict", "model", str(photo)]).exit_code == 0
    (tmp_path / "saved").rename(tmp_path / "moved")
    gone = CliRunner().invoke(main, ["predict", "model", str(photo)])
    assert gone.exit_code == 2
    assert "no backbone in" in gone.output
    elsewhere = ["--weights", str(tmp_path / "moved" / "model.safetensors")]
    assert CliRunner().invoke(main, ["predict", "model", str(photo), *elsewhere]).exit_code == 0


@pytest.mark.parametrize("pool", ["max,mean", ["max", "mean"], ("mean", "max", "mean"), " max , mean "])
def test_the_same_statistics_are_the_same_however_they_are_asked_for(pool: Any) -> None:
    assert ExtractOptions(pool=pool).pool == ("mean", "max")
    assert Options(pool=pool).words() == ["--pool", "mean,max"]
    assert Options(pool="mean").words() == []


@pytest.mark.parametrize("pool", ["median", ("mean", "var"), ""])
def test_unknown_statistics_are_refused_with_the_list(pool: Any) -> None:
    with pytest.raises(BadRequest, match=r"pool: '\w*' is none of mean, std, max"):
        ExtractOptions(pool=pool)
    with pytest.raises(BadRequest, match="pool names one statistic or more: mean, std, max"):
        ExtractOptions(pool=())


@pytest.mark.parametrize("command", [("extract", "digits"), ("run", "digits"), ("layers", "test_resnet")])
def test_unknown_statistics_are_one_line_on_the_command_line(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*command, "--pool", "mean,median"])
    assert result.exit_code == 2
    assert result.stderr == "Error: pool: 'median' is none of mean, std, max\n"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("flip", ["flip"]),
        ("flip,crop:2,scale", ["flip", "crop#1", "crop#2", "scale#1"]),
        (["crop"], ["crop#1"]),
        (["crop:0.60-0.95"], ["crop#1"]),
        ("crop#2,scale#3:0.3-0.5", ["crop#2", "scale#3:0.3-0.5"]),
        (["scale:2:.3-.5", "scale"], ["scale#1:0.3-0.5", "scale#2:0.3-0.5", "scale#1"]),
        ((), []),
    ],
)
def test_views_are_named_one_by_one(words: Any, names: list[str]) -> None:
    assert list(ExtractOptions(views=words).view_names) == names


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ("flop", "unknown view 'flop': choose from flip, crop, scale"),
        ("flip:2", "unknown view 'flip:2'"),
        ("crop#2,crop:2", "the view crop#2 is named twice"),
        ("crop:two", "unknown view 'crop:two'"),
        ("", "unknown view ''"),
        ("crop:0", "crop:0: from 1 to 16 views of a kind, not 0"),
        ("crop:17", "crop:17: from 1 to 16 views of a kind, not 17"),
        ("crop:9,scale:9", "18 views of every image: 16 at most"),
        ("flip,flip", "the view flip is named twice"),
        ("crop:1,crop:2", "the view crop#1 is named twice: name each once, several crops as crop:3"),
        ("crop:0.5-1.2", "crop:0.5-1.2: a crop larger than the image"),
        ("crop:0-0.5", "shares of the image's sides lie above 0"),
        ("crop:0.9-0.5", "the least first"),
        ("crop:0.5.1-0.9", "could not convert"),
    ],
)
def test_views_that_make_no_sense_are_one_line(views: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        ExtractOptions(views=views)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_views_on_the_command_line(image_folder: Path) -> None:
    words = Options(views=("flip", "crop:2")).words()
    assert words == ["--views", "flip,crop:2"]
    for views, message in (("flip,flip", "named twice"), ("crop:1.5-2", "larger than the image")):
        result = CliRunner().invoke(main, ["extract", str(image_folder), "--views", views])
        assert result.exit_code == 2
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["extract", "run"])
@pytest.mark.parametrize(
    ("words", "amp"),
    [
        (["task"], False),
        (["--amp", "task"], True),
        (["task", "--amp"], True),
        (["--amp", "--tf32", "task"], True),
        (["--amp", "bfloat16", "task"], "bfloat16"),
        (["task", "--amp=float16"], "float16"),
        (["--amp", "auto", "task"], True),
        (["--amp", "--", "bfloat16"], True),
    ],
)
def test_amp_stands_alone_or_with_its_word(command: str, words: list[str], amp: bool | str) -> None:
    chosen = main.commands[command].make_context(command, list(words)).params
    assert chosen["task"] == ("bfloat16" if "--" in words else "task")
    options = ExtractOptions(amp=chosen["amp"], tf32=chosen["tf32"])
    assert (options.amp, options.tf32) == (amp, "--tf32" in words)
    assert Options(amp=amp).words() == ([] if not amp else ["--amp"] if amp is True else ["--amp", amp])


def test_another_word_for_amp_is_refused() -> None:
    said = CliRunner().invoke(main, ["extract", "task", "--amp=float8"])
    assert said.exit_code == 2
    assert "float16" in said.stderr
    with pytest.raises(BadRequest, match="amp: 'float8' is none of auto, float16, bfloat16"):
        ExtractOptions(amp="float8")


def test_a_gpu_is_given_more_images_at_once() -> None:
    assert (ExtractOptions().batch_size_on("cpu"), ExtractOptions().batch_size_on("cuda")) == (32, 128)
    assert ExtractOptions(batch_size=5).batch_size_on("cuda") == 5
    with pytest.raises(BadRequest, match="batch size"):
        ExtractOptions(batch_size=0)
