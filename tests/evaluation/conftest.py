"""What the tests of evaluation share: small pairs on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from baikal_training.simulate.pairs import PairSet

NUCLEI = PairSet("nuclei", (1, 2, 48, 64), count=3, psnr=15)


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """noisy/ and clean/ with three volumes of two planes each."""
    folder = tmp_path_factory.mktemp("pairs")
    list(NUCLEI.write(folder, "tiff"))
    return folder
