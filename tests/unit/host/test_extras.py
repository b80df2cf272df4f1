"""The command that installs an extra, by how the package was installed."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from baikal_deploy.host.extras import install

CLONE = Path("/home/me/my clone")
ORIGINS = [
    ({"url": CLONE.as_uri(), "dir_info": {"editable": True}}, f'-e "{CLONE}[cpu]"'),
    ({"url": CLONE.as_uri(), "dir_info": {}}, f'"{CLONE}[cpu]"'),
    ({"url": (CLONE / "b.whl").as_uri(), "archive_info": {}}, f'"{CLONE / "b.whl"}[cpu]"'),
    (
        {"url": "https://example.org/b.git", "vcs_info": {"vcs": "git", "commit_id": "1"}},
        '"baikal-deploy[cpu] @ git+https://example.org/b.git"',
    ),
    (None, '"baikal-deploy[cpu]"'),
]


@pytest.mark.parametrize(("origin", "source"), ORIGINS)
def test_the_extra_comes_from_where_the_package_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: object, source: str
) -> None:
    if origin is not None:
        (tmp_path / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.setattr(metadata, "distribution", lambda _: metadata.PathDistribution(tmp_path))
    assert install("cpu") == f"pip install {source}"
    assert install("cpu", again=True) == f"pip install --force-reinstall {source}"


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert install("cpu") == 'pip install "baikal-deploy[cpu]"'
