"""Every command and every line of Python in README and docs runs, or says why it does not."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.docs import inputs
from tests.docs.blocks import ROOT, Block, blocks, pages

COMMANDS = {
    "baikal-doctor": "baikal_deploy.cli.doctor",
    "baikal-eval": "baikal_evaluation.cli",
    "baikal-export": "baikal_export.cli",
    "baikal-models": "baikal_deploy.cli.models",
    "baikal-noise": "baikal_deploy.cli.noise",
    "baikal-run": "baikal_deploy.cli.run",
    "baikal-simulate": "baikal_training.simulate.cli",
    "baikal-train": "baikal_training.cli",
}
"""Commands that are run here, in this process, and where they are."""
SHELL = {"|", ">", ">>", "<", "&&", "&", ";"}
"""What only a shell understands."""


def of(page: str) -> list[Block]:
    return blocks(page, (ROOT / page).read_text(encoding="utf-8"))


ALL = [block for page in pages() for block in of(page)]
RUN = [page for page in pages() if any(block.mark in ("", "shortened in tests") for block in of(page))]
SLOW = [page for page in pages() if any(block.mark in ("slow", "shortened in tests") for block in of(page))]


def commands(block: Block, text: str) -> list[list[str]]:
    """The words of each command of a block.

    Raises:
        AssertionError: it holds what is not run here.
    """
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found = [words for line in lines if (words := shlex.split(line, comments=True))]
    other = [
        words[0] for words in found if words[0] not in COMMANDS or {"|", ">", "&&", "&", ";"} & set(words)
    ]
    assert not other, f"{block}: {other} cannot be run here; say why above it: <!-- not run: REASON -->"
    return found


def run(block: Block, text: str, names: dict[str, Any]) -> None:
    if block.language == "python":
        exec(compile(text, str(block), "exec"), names)
        return
    for name, *arguments in commands(block, text):
        main = importlib.import_module(COMMANDS[name]).main
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, f"{block}: {name} {shlex.join(arguments)}\n{result.output}"


def run_page(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """Run what a page has, in order, in a folder with the images that it names."""
    monkeypatch.chdir(folder)
    names = {"__name__": "__main__", **inputs.write(folder, whole)}
    for block in of(page):
        if block.mark in (("", "shortened in tests", "slow") if whole else ("", "shortened in tests")):
            run(block, block.text if whole else block.shortened, names)


@pytest.mark.parametrize("page", RUN)
def test_what_a_page_says_works(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, tmp_path, monkeypatch, whole=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_it_works_as_it_stands(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, tmp_path, monkeypatch, whole=True)


def test_marks_have_reasons() -> None:
    assert [str(block) for block in ALL if block.mark and not block.reason] == []


def test_what_is_not_run_is_marked() -> None:
    for block in ALL:
        if block.language == "sh" and block.mark in ("", "shortened in tests"):
            commands(block, block.text)


def test_what_is_shortened_says_so() -> None:
    differ = {
        str(block)
        for block in ALL
        if block.mark in ("", "shortened in tests") and block.text != block.shortened
    }
    assert differ == {str(block) for block in ALL if block.mark == "shortened in tests"}


MARKED = """
text

    baikal-run a.tif \\
        --dry-run     # planned alone

1. In a list:

       baikal-run b.tif

<!-- slow: takes long -->
```sh
baikal-run c.tif
```

<!-- not run: -->
```python
1 / 0
```

```text
not a command
```
"""


def test_blocks_are_found() -> None:
    found = blocks("page.md", MARKED)
    assert [(block.language, block.mark, block.reason) for block in found] == [
        ("sh", "", ""),
        ("sh", "", ""),
        ("sh", "slow", "takes long"),
        ("python", "not run", ""),
    ]
    assert commands(found[0], found[0].text) == [["baikal-run", "a.tif", "--dry-run"]]
    whole = blocks("page.md", MARKED + "\n<!-- not run on this page: needs a GPU -->\n")
    assert {(block.mark, block.reason) for block in whole} == {("not run", "needs a GPU")}


def test_what_cannot_be_run_needs_a_mark() -> None:
    (block,) = blocks("page.md", "```sh\ncurl example.org\n```")
    with pytest.raises(AssertionError, match=r"page\.md:1.*curl.*say why"):
        commands(block, block.text)


def test_a_command_that_fails_is_told() -> None:
    (block,) = blocks("page.md", "```sh\nbaikal-run nothing.tif\n```")
    with pytest.raises(AssertionError, match=r"page\.md:1: baikal-run nothing\.tif"):
        run(block, block.text, {})
