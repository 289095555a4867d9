"""The gallery as a folder that needs no server: one page, the files of the look, the videos and a table."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Journal
from langchain_nebula_video.journal.table import entries_as_csv
from langchain_nebula_video.web.gallery.fleet import fleet_view
from langchain_nebula_video.web.gallery.routes import TEMPLATES
from langchain_nebula_video.web.gallery.views import MOST_ENTRIES, file_of, is_plain_name, view_of
from langchain_nebula_video.web.look import STATIC

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import Fleet

__all__ = ["export_gallery"]

_MARK = ".nebula-gallery"
"""The file that says that a folder is an export, and may be written anew. It names the videos that were written."""


def export_gallery(
    journal: Journal,
    folder: Path,
    *,
    now: datetime,
    most: int = MOST_ENTRIES,
    fleet: Fleet | None = None,
) -> Path:
    """Write the gallery of a journal into a folder, and return its page.

    Args:
        journal: Read only.
        folder: Is made. It may be an earlier export, which is replaced. Other files are never touched, in its folder of
            videos neither: they may be the only copy of what was paid for.
        now: The current time.
        most: How many entries are shown, the newest ones.
        fleet: Of the same database, if it has one: a page of its batches is written too.

    Raises:
        InvalidRequestError: the folder holds something else, or cannot be written.
        JournalError: the journal cannot be read.
    """
    view = view_of(journal, now, most=most, fleet=fleet)
    entries = journal.entries(newest_first=True, limit=most)
    names = {"look": "look", "csv": "entries.csv", "fleet": "fleet.html"}
    page = TEMPLATES.get_template("gallery.html").render(view, **names, is_live=False)
    batches = None if fleet is None else _fleet_page(fleet)
    if folder.exists() and not (folder / _MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidRequestError(
            f"{folder} holds something else.", hint="Name a folder that is empty or is not there yet."
        )
    try:
        videos, mark = folder / "videos", folder / _MARK
        videos.mkdir(parents=True, exist_ok=True)
        before = mark.read_text(encoding="utf-8").splitlines() if mark.is_file() else []
        for file in (each for each in STATIC.rglob("*") if each.is_file()):
            _copy(file, folder / "look" / file.relative_to(STATIC))
        written = [f"{entry.id}.mp4" for entry in entries if _copy(file_of(entry), videos / f"{entry.id}.mp4")]
        _write(mark, "\n".join(written))
        for name in {*before} - {*written}:
            if is_plain_name(name.removesuffix(".mp4")):
                (videos / name).unlink(missing_ok=True)
        _write(folder / "entries.csv", entries_as_csv(entries))
        if batches is not None:
            _write(folder / "fleet.html", batches)
        _write(folder / "index.html", page)
    except OSError as error:
        raise InvalidRequestError(
            f"The gallery cannot be written to {folder}: {error.strerror or error}.", hint="Name another folder."
        ) from None
    return folder / "index.html"


def _fleet_page(fleet: Fleet) -> str:
    names = {"look": "look", "home": "index.html"}
    return TEMPLATES.get_template("fleet.html").render(fleet_view(fleet), **names, is_live=False)


def _copy(source: Path | None, target: Path) -> bool:
    """Copy a file, and return whether the target is a copy now. A target that is the source itself is left alone."""
    if source is None or (target.exists() and target.samefile(source)):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(target) as fresh:
        shutil.copyfile(source, fresh)
    return True


def _write(target: Path, text: str) -> None:
    with _replacing(target) as fresh:
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yield a new file that takes the place of the target. A link there is replaced, and what it names is untouched."""
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield fresh
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
