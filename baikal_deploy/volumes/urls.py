"""Zarr stores in object stores and on web servers, read through obstore.

Credentials, region and endpoint come from the environment, as obstore has it: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT, AWS_SKIP_SIGNATURE=true for a public bucket; likewise for
others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.extras import install

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https")
RETRIES = 5
"""Repeats of a request that fails for a reason that may pass: a 5xx answer, a lost connection, a time-out."""
RETRY_SECONDS = 60
"""Seconds after which a request is not repeated any more."""
_NO_BUCKET = "NoSuchBucket"
"""S3's name for a bucket that is not there."""
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/")


@dataclass(frozen=True)
class Url:
    """Address of a Zarr store, or of something in it. It has what reading needs of a Path.

    Attributes:
        text: "s3://bucket/name.zarr", say.

    Raises:
        VolumeError: an unknown scheme, or nothing behind it.
    """

    text: str

    def __post_init__(self) -> None:
        scheme, _, rest = self.text.partition("://")
        if scheme not in SCHEMES:
            raise VolumeError(f"{self.text}: {scheme}:// is not supported, only {', '.join(SCHEMES)}")
        if not rest.strip("/"):
            raise VolumeError(f"{self.text}: names nothing; give a whole URL, such as s3://bucket/name.zarr")
        object.__setattr__(self, "text", self.text.rstrip("/"))

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.text}/{name}")

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self.text.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Url:
        """URL without its last part; the URL itself where it has one part alone."""
        above = self.text.rpartition("/")[0]
        return self if above.endswith(":/") else Url(above)

    def absolute(self) -> Url:
        return self

    def resolve(self) -> Url:
        return self

    def is_dir(self) -> bool:
        """Always False: there are no folders."""
        return False

    def iterdir(self) -> Iterator[Url]:
        """No names: web servers list none."""
        return iter(())

    def is_file(self) -> bool:
        """True if there is an object of this name.

        Raises:
            VolumeError: it cannot be found out.
        """
        return self.stamp() is not None

    exists = is_file

    def read_bytes(self) -> bytes:
        """Contents of the object.

        Raises:
            VolumeError: it is not there, or cannot be read.
        """
        import obstore

        with translated(self):
            return bytes(obstore.get(open_store(self.parent), self.name).bytes())

    def absence(self) -> str:
        """Reason for which nothing is here, in words, as far as the server tells."""
        import obstore

        try:
            obstore.get(open_store(self), "zarr.json")  # only answers to GET have a text
        except Exception as error:
            if _NO_BUCKET in str(error):
                return "there is no such bucket"
        return "is not a Zarr store (there is no zarr.json, .zarray or .zgroup in it)"

    def stamp(self) -> list[Any] | None:
        """Size and version of an object, which tell that it was written again; None if there is none.

        Raises:
            VolumeError: it cannot be found out.
        """
        with translated(self):
            store = open_store(self.parent)
            import obstore

            try:
                found = obstore.head(store, self.name)
            except FileNotFoundError:
                return None
            return [found["size"], found["e_tag"] or str(found["last_modified"])]


Source = Path | Url


def stamp(file: Source) -> list[Any] | None:
    """Size of a file or object and when, or as what, it was written; None if there is none.

    Args:
        file: a path or URL.

    Raises:
        VolumeError: a server that does not say.
    """
    if isinstance(file, Url):
        return file.stamp()
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [status.st_size, status.st_mtime_ns]


def source_of(text: str) -> Source:
    """URL or local path, as people write it.

    Args:
        text: a URL if it holds "://", else a path.

    Raises:
        VolumeError: an unknown scheme, or a URL that names nothing.
    """
    return Url(text) if "://" in text else Path(text)


def inside(path: Source, root: Source) -> str:
    """Place of something below a root, as text with "/" between names on any system.

    Args:
        path: the thing, root and all; a path if the root is one.
        root: the folder or URL that it lies below.
    """
    if isinstance(path, Url) or isinstance(root, Url):
        return str(path).removeprefix(f"{root}/")
    return path.relative_to(root).as_posix()


def looks_like_url(path: Path) -> bool:
    """True if a path was a URL before it was made a path."""
    return _URL.match(str(path)) is not None


@lru_cache(maxsize=64)
def open_store(url: Url) -> Any:
    """Store of obstore for a URL.

    Args:
        url: of a folder, or of the root of a bucket.

    Raises:
        VolumeError: the package is missing, or it makes nothing of the URL.
    """
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise VolumeError(f"{url}: URLs need the package obstore: {install('cloud')}") from error
    backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=10), "base": 2}
    retries: Any = {
        "max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS), "backoff": backoff,
    }  # fmt: skip
    options: Any = {"allow_http": True} if url.text.startswith("http:") else None
    with translated(url):
        return from_url(url.text, retry_config=retries, client_options=options)


async def fetch(store: Any, key: str, check: Callable[[int], None]) -> Any:
    """Contents of an object; None if there is none.

    Args:
        store: of ``open_store``.
        key: name of the object in it.
        check: gets the number of bytes before they are read, and raises what it likes if there are too many.
    """
    import obstore

    try:
        found = await obstore.get_async(store, key)
    except FileNotFoundError:
        return None
    check(found.meta["size"])
    return await found.bytes_async()


@contextmanager
def translated(url: Url) -> Iterator[None]:
    """Turn what obstore raises within the context into a VolumeError.

    Whoever expects a FileNotFoundError catches it inside of the context.

    Args:
        url: for messages.

    Raises:
        VolumeError: a request failed, and why.
    """
    try:
        yield
    except VolumeError:
        raise
    except Exception as error:
        raise explained(url, error) or error from error


def explained(source: Source, error: Exception) -> VolumeError | None:
    """Error that says what failed at a server or on the way to it, and what to do; None for any other error.

    Args:
        source: that was read.
        error: that was raised.
    """
    if not isinstance(source, Url) or not type(error).__module__.startswith("obstore"):
        return None
    text = " ".join(str(error).split("Debug source")[0].split())
    kind = type(error).__name__
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        advice = (
            "access is denied; check the credentials in the environment (such as AWS_ACCESS_KEY_ID), or set "
            "AWS_SKIP_SIGNATURE=true for a public bucket"
        )
    elif "169.254.169.254" in text or "redential" in text:
        advice = (
            "no credentials were found; set them in the environment (such as AWS_ACCESS_KEY_ID), or "
            "AWS_SKIP_SIGNATURE=true for a public bucket"
        )
    elif isinstance(error, FileNotFoundError):
        advice = "does not exist; check the address"
    else:
        advice = "the server or the network failed; try again later"
    return VolumeError(f"{source}: {advice} ({text[:300].strip()})")
