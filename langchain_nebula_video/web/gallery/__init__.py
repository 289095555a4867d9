"""The gallery: a page about a journal, with videos, prompts and costs; served here, or written to a folder.

Import `gallery_app` and `export_gallery` from here. This part of the web room knows journals, and nothing of the
emulator.
"""

from __future__ import annotations

from langchain_nebula_video.web.extras import require_extra

with require_extra():
    from .export import export_gallery
    from .routes import gallery_app

__all__ = ["export_gallery", "gallery_app"]
