"""What mkdocs does not do by itself: pages from the top of the tree, links out of docs/, examples."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
TOP = {"README.md": "start.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages that stay at the top of the tree, where people look for them, and their names on the site."""
LINK = re.compile(r"\[([^\]]+)\]\(((?!https?:)[^)#]+)((?:#[^)]*)?)\)")
AT_TOP = re.compile(r"\]\((?!https?:|#)(?:docs/|([^)]+))")
"""How a link at the top of the tree begins: into docs/, or to the rest of the link's target."""
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
"""Lines of an example in a docstring, up to the next empty one."""


def on_files(files: Files, config: Any) -> Files:
    """Add README, the changelog and the like to the site, as if they stood in docs/."""
    for name, page in TOP.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        content = AT_TOP.sub(lambda link: f"](../{link[1]}" if link[1] else "](", text)
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Give links the titles of their pages, and name files beside docs/, which the site does not hold.

    Raises:
        FileNotFoundError: a page links to a file that is not there.
    """
    folder = (DOCS / page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        path = (folder / link[2]).resolve()
        if path.is_relative_to(DOCS):
            text = title(path) if link[1].endswith(".md") and path.exists() else link[1]
            return f"[{text}]({link[2]}{link[3]})"
        if path.parent == ROOT and path.name in TOP:
            return f"[{link[1]}]({os.path.relpath(DOCS / TOP[path.name], folder)}{link[3]})"
        if not path.exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {link[2]}, which is not there")
        return f"`{path.relative_to(ROOT)}`"

    return LINK.sub(named, markdown)


def title(page: Path) -> str:
    """Title of a page: its first heading."""
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


class Examples(griffe.Extension):
    """Shows examples in docstrings as code, without a heading above them."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
