"""Refusals of images. A program can change an image; a language model can only use another one."""

from __future__ import annotations

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["join_or", "pillow_snippet", "too_large", "unusable"]

_ASK = "or ask the user for one."
_FIT = "Whoever runs this tool can have images made to fit: fit=True in Python, --fit on the command line."


def unusable(what: str, hint: str, *, use: str = "another image", fit_helps: bool = False) -> InvalidRequestError:
    """Return the error for an image that is not sent.

    Args:
        what: What is wrong with it. It names the limits.
        hint: What a program can do.
        use: What a language model can use instead.
        fit_helps: Whether the option `fit` would make it fit.
    """
    agent_hint = f"Use {use}, {_ASK}"
    return InvalidRequestError(what, hint=hint, agent_hint=f"{agent_hint} {_FIT}" if fit_helps else agent_hint)


def too_large(max_bytes: int, size: int | None = None, *, fit_helps: bool) -> InvalidRequestError:
    """Return the error for an image that is too large; `size` in bytes, if known."""
    limit = f"{max_bytes:,} bytes ({max_bytes / 1024 / 1024:.3g} MB)"
    actual = f"more than {max_bytes:,} bytes" if size is None else f"{size:,} bytes"
    return unusable(
        f"The image has {actual}; the gateway takes at most {limit}.",
        "Scale it down or save it as JPEG, or give the URL of a smaller one.",
        use="a smaller image",
        fit_helps=fit_helps,
    )


def pillow_snippet(image_format: str, transform: str = "{}") -> str:
    """Return a line of code that saves an image in that format, without alpha.

    Args:
        image_format: A key of `MIME_TYPES`.
        transform: Code with `{}` in the place of the image.
    """
    code = transform.format("Image.open(path).convert('RGB')")
    return f"with Pillow: {code}.save('image.{image_format.lower()}')."


def join_or(names: tuple[str, ...]) -> str:
    """Join names for a message: `JPEG, PNG or WEBP`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
