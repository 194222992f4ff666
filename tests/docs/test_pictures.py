"""The pictures that commands make for the pages: each is shown, has a committed copy, and can be drawn."""

import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
pictures = pytest.importorskip("head2toe.docs.hooks.pictures", reason="MkDocs is not installed (extra docs)")


def names() -> list[str]:
    return [f"{draw.__name__}.svg" for draw in pictures.PICTURES]


def test_each_is_shown_on_a_page_and_has_a_committed_copy(pages: list[Path]) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    shown = re.findall(r"\(images/(\w+\.svg)\)", text)
    for name in names():
        assert shown.count(name) == 1, name
        picture = ElementTree.parse(ROOT / "docs" / "images" / name).getroot()
        assert picture.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_pages_get_those_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "made", lambda: {"audit.svg": "<svg/>"})
    committed = SimpleNamespace(src_uri="images/audit.svg")
    files = {"images/audit.svg": committed}
    collection = SimpleNamespace(
        get_file_from_path=files.get,
        remove=lambda file: files.pop(file.src_uri),
        append=lambda file: files.update({file.src_uri: file}),
    )
    config = SimpleNamespace(site_dir="site", use_directory_urls=False, plugins=SimpleNamespace(_current_plugin="x"))
    pictures.on_files(collection, config)
    assert files["images/audit.svg"].content_string == "<svg/>"


@pytest.mark.slow
def test_commands_make_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PLACE", tmp_path)
    made = pictures.made()
    assert sorted(made) == sorted(names())
    described = {name: ElementTree.fromstring(picture).findtext("{*}desc") or "" for name, picture in made.items()}
    assert described["audit.svg"].count("rather") >= 10
    assert described["suggest.svg"].count("?") == 12
    assert described["forget.svg"].count("after") == pictures.TURNED
    assert described["coverage.svg"].count("held") == 5
    assert described["trials.svg"].count("n = ") == 6
