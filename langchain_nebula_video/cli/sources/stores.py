"""Stores that fsspec reaches: images listed folder by folder, and tables read in blocks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from langchain_nebula_video.cli.sources.folders import IMAGE_SUFFIXES, Tally, keep_images, sort_naturally, suffix_of
from langchain_nebula_video.cli.sources.rows import Row
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.saving.secrets import SecretUrl, redact
from langchain_nebula_video.saving.stores import open_filesystem, store_kind

__all__ = ["Store", "is_listing"]

_BLOCK_BYTES = 4 * 1024 * 1024
"""Of a table in a store. s3fs reads 50 MB at once by default."""
_MAGIC = re.compile(r"[*\[]")
"""A `?` begins the query of a URL."""


def is_listing(url: str) -> bool:
    """Return whether the URL of a store names many files: a folder by its slash at the end, or a glob."""
    return url.endswith("/") or _MAGIC.search(url) is not None


class Store:
    """A place in a store.

    Args:
        url: The URL of a folder, a glob, or a file.

    Raises:
        InvalidRequestError: the store cannot be reached: a package is missing, or the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        if "::" in url:
            raise InvalidRequestError(
                f"{redact(url, url)[:200]} is one file system within another.", hint="Name the store itself."
            )
        self._url = url.rstrip("/")
        self.name = redact(url, url)
        """The URL without its secrets."""
        self._filesystem, self._path = open_filesystem(url, reading=True)

    def beside(self, path: Path) -> Path | str:
        """Return the place of an image that a table in this place names."""
        return path if path.is_absolute() else SecretUrl(f"{self._url.rpartition('/')[0]}/{path.as_posix()}")

    @contextmanager
    def open(self) -> Iterator[io.RawIOBase]:
        """Open the file to read its bytes in blocks.

        Raises:
            InvalidRequestError: it is not there, or may not be read.
        """
        try:
            file = self._filesystem.open(self._path, "rb", block_size=_BLOCK_BYTES)
        except Exception as error:  # noqa: BLE001 a store's package may raise anything
            raise self._refusal(error) from None
        with file:
            yield _StoreFile(file, self._url)

    def images(self, tally: Tally) -> Iterator[Row]:
        """Yield a row of each image: of a folder without its subfolders, or of each file that a glob matches.

        The store is listed folder by folder. Of S3, a thousand names are in memory, in its order; elsewhere the names
        of one folder, sorted as a person counts.

        Raises:
            InvalidRequestError: the store cannot be listed.
        """
        match = _MAGIC.search(self._url)
        if match is not None:
            base = self._url[: match.start()].rpartition("/")[0]
            yield from self._matching(base, self._url[len(base) + 1 :])
            return
        for page in self._pages(self._path):
            names, left_out = keep_images(page.files)
            tally.left_out += left_out
            yield from self._rows(self._url, names)

    def row(self) -> Row:
        """Return the row of the one image that the URL names."""
        return Row(self.name, {"image": SecretUrl(self._url)})

    def is_folder(self) -> bool:
        """Return whether the URL names a folder, though no slash or suffix says so."""
        if suffix_of(self._url) in IMAGE_SUFFIXES:
            return False
        try:
            if _is_s3(self._filesystem):  # its own answer lists all of the folder, and keeps the list
                return any(next(_pages_of_s3(self._filesystem, self._path)))
            return bool(self._filesystem.isdir(self._path))
        except Exception as error:  # noqa: BLE001 a store's package may raise anything
            raise self._refusal(error) from None

    def _matching(self, base: str, pattern: str) -> Iterator[Row]:
        from fsspec.utils import glob_translate  # noqa: PLC0415 an extra

        try:
            matches = re.compile(glob_translate(pattern)).match
        except ValueError as error:  # two stars beside another character
            raise InvalidRequestError(f"{self.name} is no glob: {error}.", hint="Write ** between slashes.") from None
        root = str(self._filesystem._strip_protocol(base))  # noqa: SLF001 as fsspec's own glob does
        depth = None if "**" in pattern else pattern.count("/")
        folders = [""]
        while folders:
            folder = folders.pop()
            below: list[str] = []
            begin = "" if depth is None else re.split(r"[*?\[]", pattern.split("/")[folder.count("/")])[0]
            for page in self._pages(f"{root.rstrip('/')}/{folder}" if folder else root, begin):
                yield from self._rows(base, [name for each in page.files if matches(name := f"{folder}{each}")])
                below += page.folders
            if depth is None or folder.count("/") < depth:
                folders += [f"{folder}{each}/" for each in reversed(below)]

    def _pages(self, folder: str, begin: str = "") -> Iterator[_Page]:
        """Yield what is in a folder: from S3 a thousand names at a time, elsewhere all of it, sorted by name.

        Args:
            folder: Its path in the store.
            begin: Names that begin otherwise may be left out.

        Raises:
            InvalidRequestError: it cannot be listed.
        """
        folder = folder.rstrip("/") or folder
        try:
            if _is_s3(self._filesystem):
                yield from _pages_of_s3(self._filesystem, folder, begin)
            else:
                yield _whole_page(self._filesystem, folder)
        except Exception as error:  # noqa: BLE001 a store's package may raise anything
            raise self._refusal(error) from None

    def _rows(self, base: str, names: list[str]) -> Iterator[Row]:
        told = redact(base, base)
        for name in names:
            yield Row(f"{told}/{name}", {"image": SecretUrl(f"{base}/{name}")})

    def _refusal(self, error: Exception) -> InvalidRequestError:
        if isinstance(error, FileNotFoundError):
            return InvalidRequestError(f"There is no {self.name[:200]}.", hint="Name a folder, a glob or a table.")
        why = redact(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", self._url)[:300]
        setup = store_kind(self._url, self._filesystem).setup
        return InvalidRequestError(f"{self.name[:200]} cannot be read: {why.rstrip('.')}.", hint=setup)


class _Page(NamedTuple):
    """Names of some of what is in a folder."""

    files: list[str]
    folders: list[str]


def _is_s3(store: Any) -> bool:
    return hasattr(store, "call_s3")


def _pages_of_s3(store: Any, folder: str, begin: str = "") -> Iterator[_Page]:
    """Yield pages as S3 has them, in its order of keys. `ls` would keep 1.2 kB of each object of the folder."""
    bucket, key, _ = store.split_path(folder)
    prefix = f"{key}/" if key else ""
    request = {**store.req_kw, "Bucket": bucket, "Prefix": f"{prefix}{begin}", "Delimiter": "/"}
    while True:
        page = store.call_s3("list_objects_v2", **request)
        files = [each["Key"][len(prefix) :] for each in page.get("Contents", ())]
        folders = [each["Prefix"][len(prefix) : -1] for each in page.get("CommonPrefixes", ())]
        yield _Page(list(filter(None, files)), list(filter(None, folders)))  # an empty object stands for the folder
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _whole_page(store: Any, folder: str) -> _Page:
    listed = store.ls(folder, detail=True)
    store.invalidate_cache(folder)  # it would stay in memory
    page = _Page([], [])
    for each in listed:
        path = str(each["name"])
        name = path.rstrip("/").rpartition("/")[2]
        if each["type"] == "directory":
            page.folders.append(name)
        elif not path.endswith("/") and path.strip("/") != folder.strip("/"):  # an empty object stands for the folder
            page.files.append(name)
    sort_naturally(page.files)
    sort_naturally(page.folders)
    return page


class _StoreFile(io.RawIOBase):
    """A file in a store, whose errors are those of a file here."""

    def __init__(self, file: Any, url: str) -> None:
        self._file = file
        self._store_url = url

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:  # noqa: BLE001 a store's package may raise anything
            raise OSError(redact(f"{type(error).__name__}: {error}", self._store_url)[:300]) from None
        buffer[: len(data)] = data
        return len(data)
