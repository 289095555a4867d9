"""Images that do not fit a gateway's limits are made to fit, if the caller wants that."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
from PIL import Image, ImageOps

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.media.fitting import fit_image
from langchain_nebula_video.media.images import prepare_image
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.media.pixels import flatten_to_rgb
from tests.tables import each_row

LIMITS = ImageLimits(formats=("JPEG", "PNG"), max_bytes=300_000, sides=(360, 2000), max_ratio=3.0, alpha=False)
RED, BLUE, WHITE = (200, 0, 0), (0, 0, 200), (255, 255, 255)


def two_halves(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image.convert(mode)


def written(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Any:
    return Image.open(io.BytesIO(data))


def close(pixel: Any, colour: Any) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(pixel, colour, strict=True))


def test_an_image_that_fits_is_left_as_it_is() -> None:
    data = written(two_halves(800, 600), "JPEG")
    fitted = fit_image(data, LIMITS)
    assert (fitted.data, fitted.changes) == (data, ())
    assert prepare_image(data, LIMITS, fit=True) == prepare_image(data, LIMITS)


@each_row(
    ("size", "fits"),
    [
        ((4000, 3000), (2000, 1500)),
        ((300, 200), (540, 360)),
        ((3000, 1000), (2000, 667)),
        ((360, 2000), None),
        ((2400, 400), None),
    ],
)
def test_sides_are_scaled_and_proportions_kept(size: tuple[int, int], fits: tuple[int, int] | None) -> None:
    data = written(two_halves(*size), "PNG")
    if fits is None:
        with pytest.raises(InvalidRequestError, match="Scaling alone does not do it: pad it"):
            fit_image(data, LIMITS)
        return
    fitted = fit_image(data, LIMITS)
    assert opened(fitted.data).size == fits
    assert fitted.changes[0] == f"scaled from {size[0]} x {size[1]} to {fits[0]} x {fits[1]} pixels"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_comes_out_as_a_person_sees_it(orientation: int) -> None:
    """Pillow's own reading of the orientation is the reference."""
    image = two_halves(800, 400)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = written(image, "JPEG", exif=exif, quality=95)
    seen: Any = ImageOps.exif_transpose(opened(data))
    found = opened(fit_image(data, LIMITS).data)
    assert found.size == seen.size
    corners = [(5, 5), (seen.width - 6, 5), (5, seen.height - 6), (seen.width - 6, seen.height - 6)]
    assert all(close(found.getpixel(at), seen.getpixel(at)) for at in corners)
    picture = opened(data)
    assert opened(prepare_image(picture, LIMITS).data or b"").size == seen.size  # a PIL image too, without fit


def test_what_is_transparent_goes_on_white() -> None:
    image = Image.new("RGBA", (400, 400), (*RED, 0))
    image.paste((*BLUE, 255), (0, 0, 200, 400))
    fitted = fit_image(written(image, "PNG"), LIMITS)
    found = opened(fitted.data)
    assert close(found.getpixel((50, 200)), BLUE)
    assert close(found.getpixel((350, 200)), WHITE)
    assert fitted.changes == ("put on white",)


def test_alpha_that_hides_nothing_is_dropped_and_told_as_such() -> None:
    fitted = fit_image(written(two_halves(400, 400, "RGBA"), "PNG"), LIMITS)
    assert fitted.changes == ("its alpha channel dropped",)


def test_hidden_colours_do_not_bleed_when_a_transparent_colour_is_scaled() -> None:
    data = written(two_halves(100, 100), "PNG", transparency=RED)
    found = opened(fit_image(data, LIMITS).data).crop((0, 0, 170, 360))
    assert all(low > 240 for low, _ in found.getextrema())


def test_a_bigtiff_is_a_tiff() -> None:
    fitted = fit_image(written(two_halves(400, 400), "TIFF", big_tiff=True), LIMITS)
    assert fitted.changes[0] == "converted from TIFF"


def test_a_raw_photo_is_not_taken_for_its_preview() -> None:
    dng = written(two_halves(400, 400), "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    with pytest.raises(InvalidRequestError, match="a raw photo"):
        fit_image(dng, LIMITS)


def test_a_small_file_of_very_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(two_halves(400, 400), "PNG")
    for most in (50_000, 100_000):  # Pillow raises above twice its limit, and warns above the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            pytest.raises(InvalidRequestError, match="too many pixels"),
        ):
            fit_image(data, LIMITS)


@each_row("form", ["WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF", "PPM", "QOI"])
def test_other_formats_become_jpeg(form: str) -> None:
    if form == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    fitted = fit_image(written(two_halves(400, 400), form), LIMITS)
    found = opened(fitted.data)
    assert found.format == "JPEG"
    assert close(found.getpixel((50, 200)), RED)
    assert any(change.startswith("converted from") for change in fitted.changes)


def test_a_large_file_is_compressed_and_then_scaled() -> None:
    noise = Image.effect_noise((1900, 1900), 100)
    fitted = fit_image(written(noise, "PNG"), LIMITS)
    assert len(fitted.data) <= LIMITS.max_bytes
    assert min(opened(fitted.data).size) >= 360
    assert fitted.changes[-1].startswith("compressed from")


@each_row(
    ("mode", "levels"),
    [("I;16", (0, 32768, 65535)), ("I", (0, 32768, 65535)), ("F", (0.0, 0.5, 1.0)), ("F", (0.0, 127.5, 255.0))],
)
def test_wide_pixels_are_scaled_and_not_clipped(mode: str, levels: tuple[float, ...]) -> None:
    image = Image.new(mode, (len(levels), 1))
    for at, level in enumerate(levels):
        image.putpixel((at, 0), level)
    pixels = [flatten_to_rgb(image).getpixel((at, 0))[0] for at in range(3)]
    assert pixels[0] == 0
    assert 126 <= pixels[1] <= 128
    assert pixels[2] == 255


def test_the_image_s_name_is_that_of_what_was_given() -> None:
    """So a repeated request is the same one, whatever a later version of an encoder writes."""
    data = written(two_halves(4000, 3000), "PNG")
    assert (
        prepare_image(data, LIMITS, fit=True).digest
        == prepare_image(data, ImageLimits(formats=("PNG",), max_bytes=10**9)).digest
    )


@each_row("data", [b"no image at all", written(two_halves(400, 400), "JPEG")[:500], b""])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        prepare_image(data, LIMITS, fit=True)
    assert "Nothing was sent and nothing was spent" in str(caught.value)
