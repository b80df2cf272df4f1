"""Blocks of commands and of Python in Markdown, with what stands above them in a comment.

A block runs unless a comment says otherwise, on the line above it:

<!-- not run: REASON -->                 it never runs
<!-- slow: REASON -->                    in the slow tests alone
<!-- shortened in tests: HOW -->         shortened (``SHORTER``), and as it stands in the slow tests

<!-- not run on this page: REASON -->, anywhere, is for all that a page has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = {"sh": "sh", "bash": "sh", "console": "sh", "shell": "sh", "python": "python", "py": "python"}
MARK = re.compile(r"<!-- (not run|slow|shortened in tests)\b:?(.*?) *-->")
PAGE_MARK = re.compile(r"^<!-- not run on this page: (\S.*) -->$", re.MULTILINE)
INDENTED = re.compile(
    r" {4,}(baikal-|pip |python |make |pytest |cd |for |dask |docker |podman |git |py |\(echo)"
)
"""The first line of commands that are set off by spaces."""
SHORTER = [
    (r"(baikal-train\b.*?) --minutes \d+(?: --clock cpu)?", r"\1 --iterations 1 --batch 1 --split 100:0:0"),
    (r"(baikal-simulate\b.*?) --size \d+", r"\1 --size 64"),
    (r"(baikal-simulate\b.*?) --count \d+", r"\1 --count 2"),
    (r"(baikal-simulate\b.*?) --times \d+", r"\1 --times 3"),
    (r"-o preset=paper", "-o preset=paper --steps ddim50"),
    (r"--t 0:2 --z 2:6 --roi 0:128,64:192", "--t 0:1 --z 0:2 --roi 0:48,16:64"),
]
"""What becomes of commands that take long: patterns, and what stands in their place."""


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        language: sh or python.
        mark: not run, slow or shortened in tests; empty without a comment.
        reason: what the comment says.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str = ""
    reason: str = ""

    @property
    def shortened(self) -> str:
        text = self.text
        for pattern, replacement in SHORTER if self.language == "sh" else ():
            text = re.sub(pattern, replacement, text)
        return text

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Pages that users read, as paths from the top of the tree."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks(page: str, markdown: str) -> list[Block]:
    """All blocks of commands and Python of a page, in order."""
    lines, found, number = markdown.splitlines(), [], 0
    whole = PAGE_MARK.search(markdown)
    while number < len(lines):
        block = _block(page, lines, number)
        if block is None:
            number += 1
            continue
        language, body, end = block
        mark, reason = ("not run", whole[1]) if whole else _mark(lines, number)
        if language:
            found.append(Block(page, number + 1, language, body, mark, reason))
        number = end
    return found


def _block(page: str, lines: list[str], start: int) -> tuple[str, str, int] | None:
    """Language (empty: neither of the two), text and end of the block that begins on a line."""
    line = lines[start]
    if fence := re.match(r"( *)```(\w*)", line):
        end = next(
            (at for at in range(start + 1, len(lines)) if lines[at].strip() == "```"),
            None,
        )
        assert end is not None, f"{page}:{start + 1}: a block that does not end"
        body = [text.removeprefix(fence[1]) for text in lines[start + 1 : end]]
        return LANGUAGES.get(fence[2], ""), "\n".join(body), end + 1
    if INDENTED.match(line) and (start == 0 or not lines[start - 1].strip()):
        end = start
        while end < len(lines) and lines[end].startswith("    "):
            end += 1
        return "sh", "\n".join(text[4:] for text in lines[start:end]), end
    return None


def _mark(lines: list[str], start: int) -> tuple[str, str]:
    above = next((line for line in reversed(lines[:start]) if line.strip()), "")
    found = MARK.fullmatch(above)
    return (found[1], found[2].strip()) if found else ("", "")
