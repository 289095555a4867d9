"""The watermark "AI生成" (made by AI) in the lower right corner. It is drawn as strokes, so no font is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.extras import require_extra

with require_extra():
    from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

Stroke = tuple[tuple[float, float], ...]

# Width and strokes of each glyph, in a unit square with y downwards.
_GLYPHS: Sequence[tuple[float, Sequence[Stroke]]] = (
    (0.8, (((0.04, 0.95), (0.4, 0.08), (0.76, 0.95)), ((0.17, 0.64), (0.63, 0.64)))),
    (0.3, (((0.15, 0.08), (0.15, 0.95)),)),
    (
        1.0,
        (
            ((0.27, 0.04), (0.2, 0.24), (0.07, 0.42)),
            ((0.2, 0.26), (0.9, 0.26)),
            ((0.18, 0.57), (0.85, 0.57)),
            ((0.04, 0.93), (0.97, 0.93)),
            ((0.52, 0.03), (0.52, 0.93)),
        ),
    ),
    (
        1.0,
        (
            ((0.13, 0.26), (0.95, 0.26)),
            ((0.15, 0.26), (0.15, 0.6), (0.03, 0.96)),
            ((0.15, 0.5), (0.44, 0.5), (0.42, 0.82), (0.33, 0.8)),
            ((0.57, 0.03), (0.6, 0.4), (0.72, 0.74), (0.9, 0.95), (0.96, 0.74)),
            ((0.86, 0.4), (0.7, 0.68), (0.46, 0.93)),
            ((0.72, 0.05), (0.85, 0.16)),
        ),
    ),
)
_SPACE = 0.14
_HEIGHT = 0.05
_MARGIN = 0.6
_STROKE_WIDTH = 0.085
_SUPERSAMPLING = 4
_OPACITY = 0.85
_SHADOW_OPACITY = 0.55
# Brightness of white and black, and neutral color, in the limited range of video.
_WHITE, _BLACK, _GREY = 235, 16, 128


class Watermark:
    """The watermark for frames of one size."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Draw the watermark."""
        # Even, because the color planes have half the size.
        height = max(8, round(min(size) * _HEIGHT)) // 2 * 2
        letters = _letters(height)
        edge = height // 4 * 2
        shadow = Image.new("L", (letters.width + 2 * edge, letters.height + 2 * edge))
        shadow.paste(letters, (edge, edge))
        full = Image.new("L", shadow.size)
        full.paste(letters, (edge, edge))
        shadow = shadow.filter(ImageFilter.GaussianBlur(height / 8)).point(lambda value: min(255, value * 2))
        margin = round(height * _MARGIN) // 2 * 2
        corner = size[0] - full.width - margin, size[1] - full.height - margin
        self._corner = max(0, corner[0]) // 2 * 2, max(0, corner[1]) // 2 * 2
        self._shadow = _scale_opacity(shadow, _SHADOW_OPACITY)
        self._letters = _scale_opacity(full, _OPACITY)
        self._halves = tuple(
            mask.resize((mask.width // 2, mask.height // 2), Image.Resampling.BOX)
            for mask in (self._shadow, self._letters)
        )

    def apply(self, plane: Image.Image, index: int) -> None:
        """Draw it onto one plane: of brightness (0), or of color (1, 2)."""
        left, top = self._corner
        if index:
            for mask in self._halves:
                plane.paste(_GREY, (left // 2, top // 2), mask)
            return
        plane.paste(_BLACK, (left, top), self._shadow)
        plane.paste(_WHITE, (left, top), self._letters)


def _letters(height: int) -> Image.Image:
    """Draw the glyphs in white on black, enlarged and then scaled down for smooth edges."""
    unit = height * _SUPERSAMPLING
    width = sum(width + _SPACE for width, _ in _GLYPHS) - _SPACE
    even = round(width * height / 2) * 2
    image = Image.new("L", (even * _SUPERSAMPLING, unit))
    canvas = ImageDraw.Draw(image)
    weight = round(unit * _STROKE_WIDTH)
    at = 0.0
    for wide, strokes in _GLYPHS:
        for stroke in strokes:
            points = [((at + x) * unit, y * unit) for x, y in stroke]
            canvas.line(points, fill=255, width=weight, joint="curve")
        at += wide + _SPACE
    return image.resize((even, height), Image.Resampling.BOX)


def _scale_opacity(mask: Image.Image, share: float) -> Image.Image:
    return mask.point(lambda value: int(value * share))
