"""The console: a page at ``/`` of an emulator, to look at what it does and to steer it.

Import `add_console` from here. This part of the web room may import `emulator` and what the pages share, and nothing
of the client.
"""

from __future__ import annotations

from langchain_nebula_video.web.extras import require_extra

with require_extra():
    from .routes import add_console

__all__ = ["add_console"]
