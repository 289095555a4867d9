"""Send some 350 picture files through the package, and hold each against Pillow, PyAV and the emulator.

`--only WORD` takes the pictures whose names hold a word; `--no-videos` leaves out the emulator.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient
from langchain_nebula_video.emulator import Emulator
from tests.image_corpus import Sample, difference, made, shipped
from tests.image_judge import LIMITS, facts_differ, fitted_differs

_KEY, _REGION_KEY = "sk-corpus", "sk-beijing"
_ALIKE = 40
"""Of 255. The video's colours are halved in both directions, and it is compressed once more."""


class Films:
    """The emulator, and its two gateways: one is strict about pictures, the other makes short videos."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        """Open the clients; videos go to the folder."""
        emulator.add_account(_REGION_KEY, region="beijing", balance=10_000)
        emulator.add_account(_KEY, balance=10_000)
        keys = {"dashscope": _REGION_KEY, "uniall": _KEY}
        self._strict, self._short = (
            NebulaVideoClient(gateway=name, base_url=emulator.url, api_key=key, fit=True, poll_interval=0.02)
            for name, key in keys.items()
        )
        self._path = folder / "video.mp4"
        self.accepted = self.filmed = 0

    def differ(self, sample: Sample) -> Iterator[str]:
        """What becomes of a picture: refused by the emulator, or another first frame."""
        image = sample.data
        try:
            self._strict.submit(prompt="x", image=image)
            self.accepted += 1
        except InvalidRequestError as error:
            if "pad it" not in error.hint:
                yield f"refused: {error}"
        video = self._short.generate(prompt="x", image=image, model="viduq3t-540p", duration=1)
        self._path.unlink(missing_ok=True)
        self._short.download(video, self._path)
        with av.open(str(self._path), mode="r") as container:
            first = Image.fromarray(next(container.decode(video=0)).to_ndarray(format="rgb24"))
        self.filmed += 1
        if (far := difference(first, sample.upright.resize(first.size))) > _ALIKE and min(sample.upright.size) > 31:
            yield f"the first frame looks otherwise, by {far:.0f} of 255"


def main() -> int:
    """Print what differs, then the figures. The exit code is 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-videos", action="store_true")
    options = parser.parse_args()
    started, faults, kinds = time.perf_counter(), 0, Counter[str]()
    with Emulator(speed=1_000_000) as emulator, TemporaryDirectory() as folder:
        films = None if options.no_videos else Films(emulator, Path(folder))
        for sample in (sample for maker in (made, shipped) for sample in maker() if options.only in sample.name):
            differences = [*facts_differ(sample)]
            differences += [f"{name}: {text}" for name, row in LIMITS.items() for text in fitted_differs(sample, row)]
            differences += films.differ(sample) if films else []
            with Image.open(io.BytesIO(sample.data)) as image:
                kinds[image.format or ""] += 1
            for text in differences:
                print(f"{sample.name}: {text}")
            faults += bool(differences)
    print(f"{kinds.total()} files ({', '.join(f'{count} {name}' for name, count in kinds.most_common())})")
    if films:
        print(f"{films.accepted} accepted by the emulator, {films.filmed} made into a video")
    print(f"{faults} with a difference; {time.perf_counter() - started:.0f} s")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
