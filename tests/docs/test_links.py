"""Links of README, which is on no page of the site; ``mkdocs build --strict`` checks those of the others."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import ROOT

LINKS = re.findall(
    r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", (ROOT / "README.md").read_text(encoding="utf-8")
)


def anchors(markdown: str) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in words}


@pytest.mark.parametrize(("path", "anchor"), sorted(set(LINKS)))
def test_a_link_leads_somewhere(path: str, anchor: str) -> None:
    page = ROOT / path
    assert page.exists()
    if anchor:
        assert anchor in anchors(page.read_text(encoding="utf-8"))


def test_pages_name_no_place_of_this_computer() -> None:
    place = re.compile(r"/(home|root|work)/")
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    assert [page.name for page in pages if place.search(page.read_text(encoding="utf-8"))] == []
