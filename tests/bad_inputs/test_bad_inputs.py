"""Whatever is wrong with an input is said in one line, and docs/faq.md shows the line."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from head2toe.pipeline import main
from head2toe.tests.bad_inputs.bad_input import SMALL, BadInput
from head2toe.tests.bad_inputs.page import FAQ, SECTIONS, section, written
from PIL import Image

EVERY = [bad for rows in SECTIONS.values() for bad in rows]
USAGE = re.compile(r"^(Usage: .*|Try '.* --?h.*|)$")


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, and the store, the results and the model that a run made of them."""
    folder = tmp_path_factory.mktemp("good")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for name, grey in (("cat", 90), ("dog", 160)):
            (folder / "photos" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(rng.normal(grey, 30, (24, 24, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HEAD2TOE_STORE", "stores")
        words = ["run", "photos", *SMALL.split(), "--methods", "linear", "--save-model", "model"]
        ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 0, ran.output
    return folder


@pytest.fixture
def here(good_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which a command may run."""
    shutil.copytree(good_run, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HEAD2TOE_STORE", "stores")
    return tmp_path / "here"


def call(bad: BadInput, here: Path) -> tuple[int, str, str]:
    """Exit code, stdout and the error of a command, with paths as they are seen from its folder."""
    stored, ran = next(here.glob("stores/??/*"), here), next(here.glob("results/photos-*"), here)
    words = [{"KEY": stored.name, "RUN": str(ran)}.get(word, word) for word in bad.words()]
    bad.make(here)
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    lines = [line for line in result.stderr.splitlines() if not USAGE.match(line)]
    text = "\n".join(lines).replace(f"{here}/", "").replace(str(here), ".")
    return result.exit_code, result.stdout, re.sub(r"\b[0-9a-f]{64}\b", "KEY", text)


@pytest.mark.parametrize("bad", EVERY, ids=[bad.what or bad.command for bad in EVERY])
def test_a_bad_input_is_one_line(bad: BadInput, here: Path) -> None:
    with bad.around():
        code, out, said = call(bad, here)
    assert (code, out) == (bad.code, "")
    assert re.fullmatch(".*".join(map(re.escape, bad.says.split("…"))), said.removeprefix("Error: ")), said


def test_the_questions_show_every_line() -> None:
    page = FAQ.read_text(encoding="utf-8")
    assert page == written(page), "docs/faq.md is not what the rows say: `make faq` writes it anew"


def test_no_input_stands_twice_and_none_leads_to_this_machine() -> None:
    assert len(EVERY) >= 120
    assert len({(bad.what, bad.command) for bad in EVERY}) == len(EVERY)
    assert all(bad.code in (1, 2) for bad in EVERY)
    assert not re.search(r"/(tmp|home|root|work|Users)/", section())
