#!/usr/bin/env bash
# Pillow 13.0.0: saving AVIF takes the orientation out of the caller's Exif object, so the next file lies on its side.
#
# `exif = image.getexif()` is written into several files of one picture: `save("x.avif", exif=exif)`, then
# `save("x.jpg", exif=exif)`. The AVIF writer turns the orientation into boxes of the file and deletes the tag, in the
# object that it was given and not in a copy. The JPEG that is written afterwards has no orientation any more. WebP, PNG
# and TIFF leave the object as it is.
#
# Seen (orientation 6 in the object before each save):
#   WEBP: afterwards 6
#   PNG: afterwards 6
#   TIFF: afterwards 6
#   JPEG: afterwards 6
#   AVIF: afterwards None
#   JPEG after AVIF: orientation None
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0

"$work/venv/bin/python" -I - <<'EOF'
import io
import sys

from PIL import Image

picture = Image.new("RGB", (40, 20))
left = {}
for form in ("WEBP", "PNG", "TIFF", "JPEG", "AVIF"):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(io.BytesIO(), form, exif=exif)
    left[form] = exif.get(0x0112)
    print(f"{form}: afterwards {left[form]}")
buffer = io.BytesIO()
picture.save(buffer, "JPEG", exif=exif)  # the object that AVIF was given
print(f"JPEG after AVIF: orientation {Image.open(buffer).getexif().get(0x0112)}")
if left != {form: None if form == "AVIF" else 6 for form in left}:
    sys.exit("The behaviour changed: only AVIF should take the orientation out of the object.")
EOF
