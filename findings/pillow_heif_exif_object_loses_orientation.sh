#!/usr/bin/env bash
# pillow-heif 1.8.1: HEIC saved with `exif=image.getexif()` loses its orientation; the same as bytes keeps it.
#
# Pillow takes `exif` as an `Image.Exif` or as bytes, and writes the same JPEG, WebP and AVIF for both. The HEIF writer
# of pillow-heif turns the orientation into the boxes `irot` and `imir` only if it gets bytes. From an `Image.Exif` it
# writes the tag alone, which its own reader then resets to 1. So a portrait photo that is saved as HEIC in the way of
# Pillow's own documentation lies on its side, and nothing in the opened file tells that it does.
#
# Seen (a stored picture of 40 x 20 with orientation 6, so 20 x 40 upright):
#   HEIF from Exif: 40 x 20, orientation 1, upright: False
#   HEIF from bytes: 20 x 40, orientation 1, upright: True
#   AVIF from Exif: 40 x 20, orientation 6, upright: True
#   AVIF from bytes: 40 x 20, orientation 6, upright: True
#   JPEG from Exif: 40 x 20, orientation 6, upright: True
#   JPEG from bytes: 40 x 20, orientation 6, upright: True
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 pillow-heif==1.8.1

"$work/venv/bin/python" -I - <<'EOF'
import io
import sys

import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
stored = Image.new("RGB", (40, 20))
upright = {}
for form in ("HEIF", "AVIF", "JPEG"):
    for label in ("Exif", "bytes"):
        exif = Image.Exif()
        exif[0x0112] = 6  # shown upright, it has 20 x 40 pixels
        given = exif if label == "Exif" else exif.tobytes()
        buffer = io.BytesIO()
        stored.save(buffer, form, exif=given)
        image = Image.open(io.BytesIO(buffer.getvalue()))
        orientation = image.getexif().get(0x0112)
        upright[f"{form} from {label}"] = is_upright = ImageOps.exif_transpose(image).size == (20, 40)
        size = f"{image.width} x {image.height}"
        print(f"{form} from {label}: {size}, orientation {orientation}, upright: {is_upright}")
if upright != {case: case != "HEIF from Exif" for case in upright}:
    sys.exit("The behaviour changed: only HEIF from an Exif object should lie on its side.")
EOF
