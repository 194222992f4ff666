"""A page as HTML's own parser reads it, and what must hold of every page."""

import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import pytest


class Page(HTMLParser):
    """Elements with their attributes and enclosed text, and whether tags are balanced."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag != "style").split())


def checked(html: str) -> Page:
    """The page, after what must hold for every page was checked."""
    page = Page(html)
    assert not page.open
    assert not re.search(r"https?:|//", re.sub(r"base64,[A-Za-z0-9+/=]*", "", html)), "nothing is fetched"
    assert not page.all("script")
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    for image in page.all("img"):
        assert image["src"].startswith("data:image/jpeg;base64,")
        assert image["alt"].strip()
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert not [name for name, times in Counter(ids).items() if times > 1]
    for drawing in page.all("svg"):
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= set(ids)
    assert len([1 for tag, data in page.texts if tag == "desc" and data.strip()]) == len(page.all("svg"))
    for reference in re.findall(r'(?:url\(|href=")#([^)"]+)', html):
        assert reference in ids
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?:fill|stroke|style)[=:][^>]*?:\s*#[0-9a-f]{6}", body), "every colour is the page's own"
    return page


@pytest.fixture
def sound() -> Callable[[str], Page]:
    """`checked`, for the tests."""
    return checked
