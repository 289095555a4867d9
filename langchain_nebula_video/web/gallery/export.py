"""The gallery as a folder that needs no server: one page, the files of the look, the videos and a table."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Journal
from langchain_nebula_video.journal.table import entries_as_csv
from langchain_nebula_video.web.gallery.routes import TEMPLATES
from langchain_nebula_video.web.gallery.views import MOST_ENTRIES, file_of, view_of
from langchain_nebula_video.web.look import STATIC

__all__ = ["export_gallery"]

_MARK = ".nebula-gallery"
"""The file that says that a folder is an export, and may be written anew."""


def export_gallery(
    journal: Journal,
    folder: Path,
    *,
    now: datetime,
    most: int = MOST_ENTRIES,
) -> Path:
    """Write the gallery of a journal into a folder, and return its page.

    Args:
        journal: Read only.
        folder: Is made. It may be an earlier export, which is replaced. Other files are never touched.
        now: The current time.
        most: How many entries are shown, the newest ones.

    Raises:
        InvalidRequestError: the folder holds something else, or cannot be written.
        JournalError: the journal cannot be read.
    """
    view = view_of(journal, now, most=most)
    entries = journal.entries(newest_first=True, limit=most)
    page = TEMPLATES.get_template("gallery.html").render(view, look="look", csv="entries.csv", is_live=False)
    if folder.exists() and not (folder / _MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidRequestError(
            f"{folder} holds something else.", hint="Name a folder that is empty or is not there yet."
        )
    try:
        videos = folder / "videos"
        if folder.exists():
            shutil.rmtree(folder / "look", ignore_errors=True)
            shutil.rmtree(videos, ignore_errors=True)
        videos.mkdir(parents=True)
        (folder / _MARK).touch()
        shutil.copytree(STATIC, folder / "look")
        for entry in entries:
            if (file := file_of(entry)) is not None:
                shutil.copyfile(file, videos / f"{entry.id}.mp4")
        (folder / "entries.csv").write_text(entries_as_csv(entries), encoding="utf-8")
        (folder / "index.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidRequestError(
            f"The gallery cannot be written to {folder}: {error.strerror or error}.", hint="Name another folder."
        ) from None
    return folder / "index.html"
