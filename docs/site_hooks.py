"""What mkdocs does not do by itself: pages from the top of the tree, and links to files that are no pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
TOP = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages that stay at the top of the tree, where people look for them, and their names on the site."""
LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the changelog and the like to the site."""
    for name, page in TOP.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=re.sub(r"\]\(docs/", "](", text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Name files beside docs/, such as examples, which the site does not hold, in place of linking to them.

    Raises:
        FileNotFoundError: a page links to a file that is not there.
    """
    folder = (DOCS / page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        path = (folder / link[2]).resolve()
        if path.is_relative_to(DOCS):
            return link[0]
        if not path.exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {link[2]}, which is not there")
        return f"`{path.relative_to(ROOT)}`"

    return LINK.sub(named, markdown)
