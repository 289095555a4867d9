"""Trials: before a video is paid for, something is really written where it will be saved, and removed again.

| Target | What is tried |
|---|---|
| a folder on this machine | some bytes are written in it, or in its nearest parent that exists; room for the video |
| a store | a small object is written in its folder; for the download, the same as above in the temporary folder |

A target that took the bytes is not tried again for a while, unless saving there fails. Room is looked at each time.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from langchain_nebula_video.errors import SetupError
from langchain_nebula_video.saving.names import is_file_name, is_url, target_text, to_path
from langchain_nebula_video.saving.remote import RemoteTarget
from langchain_nebula_video.saving.secrets import redact
from langchain_nebula_video.transport.probe import bounded

__all__ = ["expected_size", "forget_trial", "local_folder", "nearest_folder", "try_target"]

_VALID_SECONDS = 300.0
_MAX_TARGETS = 1000
_STORE_SECONDS = 30.0
_BYTES = b"langchain-nebula-video tries whether it can write here.\n" * 80
"""More than a file system keeps beside its names: they need room of their own."""
_BITS_PER_PIXEL = 0.3
"""Of H.264, as an upper estimate. 720p at 24 frames a second is then 6.6 Mbit/s, and YouTube asks for 5 at 30 frames:
https://support.google.com/youtube/answer/1722171."""
_ASPECT = 16 / 9
_DEFAULT_HEIGHT, _DEFAULT_SECONDS = 1080, 10


def expected_size(resolution: str | None, seconds: float | None, frames_per_second: int) -> int:
    """Return about how many bytes a video has at most. No gateway tells it before the video is made."""
    digits = (resolution or "").removesuffix("p")
    height = int(digits) if digits.isdigit() else _DEFAULT_HEIGHT
    pixels = height * height * _ASPECT * frames_per_second * (seconds or _DEFAULT_SECONDS)
    return int(pixels * _BITS_PER_PIXEL / 8)


def try_target(save_to: str | Path, size: int) -> None:
    """Write where a video will be saved, and look for room.

    Args:
        save_to: See `make_target`.
        size: How many bytes the video may have.

    Raises:
        SetupError: it cannot be saved there.
    """
    text = target_text(save_to)
    if not is_url(text):
        folder = local_folder(text)
        _try_once(str(folder), lambda: _write_in(folder))
        _check_room(folder, size)
        return
    parts = Path(tempfile.gettempdir())
    _try_once(str(parts), lambda: _write_in(parts))
    _check_room(parts, size)
    _try_once(text, lambda: _write_to_store(text))


def local_folder(text: str) -> Path:
    """Return the folder of a local target as far as it is the same for every video. It need not exist."""
    fixed = text.partition("{")[0]
    path = to_path(fixed if fixed == text else str(Path(f"{fixed}_").parent))
    return path.parent if is_file_name(path) else path


def _write_in(folder: Path) -> None:
    probe = nearest_folder(folder) / f".nebula-video-{uuid.uuid4().hex}.part"  # the name of a part: found if left over
    try:
        with probe.open("xb") as file:
            file.write(_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _refusal(str(folder), error.strerror or str(error), "Name a folder that can be written to.") from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def nearest_folder(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _check_room(folder: Path, size: int) -> None:
    try:
        usage = shutil.disk_usage(nearest_folder(folder))
    except OSError:
        return
    if usage.total and usage.free < size:  # some network disks report 0 bytes in all
        raise _refusal(
            str(folder),
            f"{usage.free / 1e6:.1f} MB are free, and the video may have {size / 1e6:.1f} MB",
            "Make room, or name another disk.",
        )


def _write_to_store(url: str) -> None:
    target = RemoteTarget(url, "video.mp4")
    try:
        bounded(lambda: target.write_probe(_BYTES), _STORE_SECONDS, name="trial")
    except TimeoutError:
        raise _refusal(redact(url, url), f"there was no answer within {_STORE_SECONDS:.0f} s", target.setup) from None
    except Exception as error:  # noqa: BLE001 a store's package may raise anything
        why = redact(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", url)[:300]
        raise _refusal(redact(url, url), why, target.setup) from None


def _refusal(where: str, why: str, hint: str = "Try again later, or name another place.") -> SetupError:
    return SetupError(f"Nothing can be saved in {where}: {why.rstrip('.')}.", hint=hint)


# --- how often ---


@dataclass(frozen=True, slots=True)
class _Outcome:
    at: float
    """When the trial ended, on the monotonic clock."""
    error: SetupError | None


_outcomes: dict[str, _Outcome] = {}
"""The last one by target."""
_locks: dict[str, threading.Lock] = {}
"""By target: of calls at the same moment, one writes, and its outcome is that of the others."""


def _try_once(target: str, attempt: Callable[[], None]) -> None:
    began = time.monotonic()
    if len(_outcomes) >= _MAX_TARGETS:
        _outcomes.clear()
        _locks.clear()  # whoever holds one keeps it
    with _locks.setdefault(target, threading.Lock()):  # unlike a defaultdict, one lock for all threads
        last = _outcomes.get(target)
        if last is not None and last.error is None and time.monotonic() - last.at <= _VALID_SECONDS:
            return
        if last is not None and last.error is not None and last.at >= began:
            raise copy.copy(last.error)
        try:
            attempt()
        except SetupError as error:
            _outcomes[target] = _Outcome(time.monotonic(), copy.copy(error))  # without the frames of the traceback
            raise
        _outcomes[target] = _Outcome(time.monotonic(), None)


def forget_trial(save_to: str | Path) -> None:
    """Try this target again next time: saving there has failed."""
    text = target_text(save_to)
    names = [text] if is_url(text) else []
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        names.append(str(Path(tempfile.gettempdir()) if is_url(text) else local_folder(text)))
    for name in names:
        _outcomes.pop(name, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_locks.clear)  # another thread of the parent may hold one
