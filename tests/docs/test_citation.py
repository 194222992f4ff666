"""CITATION.cff says who is to be cited, in the format that GitHub and reference managers read."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
REQUIRED = {"cff-version", "message", "title", "authors"}  # by the Citation File Format 1.2.0
PREFERRED = {"type", "title", "authors", "year", "conference"}


def test_the_software_and_the_paper_can_be_cited() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(citation) >= REQUIRED
    assert citation["cff-version"] == "1.2.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    paper = citation["preferred-citation"]
    assert set(paper) >= PREFERRED
    assert [author["family-names"] for author in paper["authors"]] == ["Evci", "Dumoulin", "Larochelle", "Mozer"]
    assert all(author["given-names"] for author in paper["authors"])
    assert paper["year"] == 2022
    assert "2201.03529" in paper["url"]
