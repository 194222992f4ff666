"""The model card shows names as text, whatever their owners wrote into them."""

import html
import re
from typing import Any

import pytest
from head2toe.extract.deploy.model_card import model_card

NAMES = [
    "<img src=x onerror=alert(1)>",
    "a|b",
    "[x](javascript:y)",
    "line\nbreak",
    "`code`",
    "\x1b[31mred",
    "**bold**",
    "# x",
]


def model(name: str) -> dict[str, Any]:
    """The content of a model.json in which everything that others choose is called `name`."""
    return {
        "backbone": {"name": "test_resnet", "weights": f"file:{name}", "weights_sha256": "0" * 64},
        "classes": [name, "b"],
        "layers": [],
        "method": "linear",
        "settings": {"layer": name},
        "metrics": {"cv_accuracy": 0.5},
        "task": {"name": name, "source": name, "n_train": 3},
        "versions": {"head2toe": "0.1"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name: str) -> None:
    card, plain = model_card(model(name), 10), model_card(model("plain"), 10)
    assert card.count("\n") == plain.count("\n")
    assert not re.search(r"<[a-z]", card)
    assert "\x1b" not in card
    for mark in ("|", "[", "`", "**"):
        assert len(re.findall(rf"(?<!\\){re.escape(mark)}", card)) == len(
            re.findall(rf"(?<!\\){re.escape(mark)}", plain)
        )
    shown = html.unescape(re.sub(r"\\(.)", r"\1", card))
    assert " ".join(name.replace("\x1b", "x1b").split()) in shown


def test_a_model_on_views_is_used_with_them() -> None:
    viewed = model("plain") | {"views": {"names": ["flip", "crop#1"], "seed": 0}}
    assert "folder_of_photos --views flip,crop#1 -o" in model_card(viewed, 10)
    assert "--views" not in model_card(model("plain"), 10)
