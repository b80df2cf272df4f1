"""PNG and JPEG pictures as volumes: grey, one stain in one hue, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from baikal_deploy.volumes.open import files_of, is_image, open_input
from tests.unit.volumes.test_tiff import assert_holds, axes_of, counts, refused, scales_of


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def in_hue(grey: np.ndarray, *hue: float) -> np.ndarray:
    return np.rint(grey[..., None] * np.array(hue)).astype("u1")


@pytest.mark.parametrize(("name", "dtype", "factor"), [("größe 1.png", "u1", 2), ("A.PNG", "u2", 500)])
def test_grey(tmp_path: Path, name: str, dtype: str, factor: int) -> None:
    pixels = counts(20, 30).astype(dtype) * np.dtype(dtype).type(factor)
    path = save(tmp_path / name, pixels)
    assert is_image(path)
    volume = open_input(path)
    assert_holds(volume, pixels)
    assert (axes_of(volume), volume.info.remarks) == ("yx", ())
    assert set(scales_of(volume).values()) == {(1, None)}
    assert files_of(volume) == {path}


@pytest.mark.parametrize("hue", [(1, 1, 1), (0, 1, 0), (1, 0, 1), (0.2, 0.37, 1), (1, 0.6, 0.1)])
def test_one_stain_in_colours(tmp_path: Path, hue: tuple[float, ...]) -> None:
    pixels = counts(20, 30, dtype="u1") * np.uint8(2)
    assert_holds(open_input(save(tmp_path / "a.png", in_hue(pixels, *hue))), pixels)


def test_a_palette_of_one_hue(tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype="u1")
    picture = PIL.Image.fromarray(pixels).convert("P")
    picture.putpalette([value for level in range(256) for value in (0, 255 - level, 255 - level)])
    picture.save(tmp_path / "a.png")
    assert_holds(open_input(tmp_path / "a.png"), 255 - pixels)


def test_two_hues_are_refused_at_their_place(tmp_path: Path) -> None:
    colours = in_hue(counts(20, 30), 0, 1, 0)
    colours[7, 11] = 90  # the corner of a scale bar
    refused(save(tmp_path / "a.png", colours), r"more than one hue \(at y=7 x=11, for one\)")


@pytest.mark.parametrize(("hue", "quality"), [((1, 1, 1), 80), ((0, 1, 0), 60), ((1, 0, 1), 95)])
def test_jpeg(tmp_path: Path, hue: tuple[float, ...], quality: int) -> None:
    """JPEG shifts colours, at which a picture of one stain must not be refused; and it is told of."""
    y, x = np.mgrid[:130, :170]
    clean = 120 + 80 * np.sin(y / 9) * np.sin(x / 7)
    pixels = np.clip(clean + np.random.default_rng(0).normal(0, 20, clean.shape), 0, 255)
    volume = open_input(save(tmp_path / "a.jpg", in_hue(pixels, *hue), quality=quality))
    assert np.abs(volume.read([0])[0] - pixels).mean() < 20
    assert "JPEG has changed the picture" in volume.info.remarks[0]


def test_two_stains_in_a_jpeg_are_refused(tmp_path: Path) -> None:
    colours = in_hue(counts(128, 128), 0, 2, 0)
    colours[32:64, 40:80, 0] = 60
    refused(save(tmp_path / "a.jpeg", colours, quality=80), "more than one hue")


def write_deep_colours(path: Path, side: int = 4) -> Path:
    """A PNG of 16 bits a colour, which Pillow cannot write."""
    rows = (b"\0" + bytes(range(6 * side))) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def test_what_no_intensity_can_be_told_from_is_refused(tmp_path: Path) -> None:
    grey = counts(20, 30, dtype="u1")
    refused(write_deep_colours(tmp_path / "deep.png"), "colours of 16 bits, of which only 8 could be read")
    refused(save(tmp_path / "mask.png", grey > 60), "holds black and white alone")
    refused(save(tmp_path / "alpha.png", np.dstack([in_hue(grey, 1, 1, 1), grey])), "transparent pixels")
    cmyk = PIL.Image.fromarray(in_hue(grey, 1, 1, 1)).convert("CMYK")
    cmyk.save(tmp_path / "print.jpg")
    refused(tmp_path / "print.jpg", "colours of the kind CMYK")


def test_damaged_pictures_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", counts(200, 300, dtype="u1"))
    path.write_bytes(path.read_bytes()[:2000])
    refused(path, "truncated")
    path.write_bytes(b"not a picture")
    refused(path, "cannot be read")
    refused(save(tmp_path / "b.png", counts(20, 30, dtype="u1")), "there is no series 1", 1)
