"""Refusals of images. A program can change an image; a language model can only use another one."""

from __future__ import annotations

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["FIT_EXTRA", "join_or", "pillow_code", "too_large", "unusable"]

_ASK = "or ask the user for one."
_FIT = "Whoever runs this tool can have images made to fit: fit=True in Python, --fit on the command line."


FIT_EXTRA = 'pip install "langchain-nebula-video[images]"'
_FIT_HINT = "Pass fit=True (in the shell: --fit)"


def unusable(what: str, hint: str, *, use: str = "another image", fit_helps: bool = False) -> InvalidRequestError:
    """Return the error for an image that is not sent.

    Args:
        what: What is wrong with it. It names the limits.
        hint: What a program can do. May be empty if `fit_helps`.
        use: What a language model can use instead.
        fit_helps: Whether the option `fit` would make it fit.
    """
    agent_hint = f"Use {use}, {_ASK}"
    if fit_helps:
        agent_hint = f"{agent_hint} {_FIT}"
        hint = f"{_FIT_HINT}, or {hint[0].lower()}{hint[1:]}" if hint else f"{_FIT_HINT}, after {FIT_EXTRA}."
    return InvalidRequestError(what, hint=hint, agent_hint=agent_hint)


def too_large(max_bytes: int, size: int | None = None, *, fit_helps: bool) -> InvalidRequestError:
    """Return the error for an image that is too large; `size` in bytes, if known."""
    limit = f"{max_bytes:,} bytes ({max_bytes / 1024 / 1024:.3g} MB)"
    actual = f"more than {max_bytes:,} bytes" if size is None else f"{size:,} bytes"
    return unusable(
        f"The image has {actual}; the gateway takes at most {limit}.",
        "Scale it down, save it as JPEG of a lower quality, or give the URL of a smaller one.",
        use="a smaller image",
        fit_helps=fit_helps,
    )


_WHITE = "image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert('RGB')"


def pillow_code(wanted: str, *steps: str, alpha: bool) -> str:
    """Return a line of code that changes an image of 8-bit pixels and saves it, upright and on white.

    Args:
        wanted: The format, a key of `MIME_TYPES`.
        steps: Statements that change `image`.
        alpha: Whether something in it may be transparent.
    """
    opened = f"image = ImageOps.exif_transpose(Image.open(path)).convert('{'RGBA' if alpha else 'RGB'}')"
    white = [_WHITE] if alpha else []
    return "; ".join([opened, *white, *steps, f"image.save('image.{wanted.lower()}')"])


def join_or(names: tuple[str, ...]) -> str:
    """Join names for a message: `JPEG, PNG or WEBP`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
