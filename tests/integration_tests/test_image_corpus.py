"""Each kind of picture file is told as Pillow and PyAV tell it, and looks upright once it fits."""

from __future__ import annotations

import pytest
from pillow_heif import register_heif_opener

from tests.image_corpus import MAKERS, Sample
from tests.image_judge import LIMITS, facts_differ, fitted_differs


@pytest.mark.parametrize("group", [name for name in MAKERS if name != "sizes"])
def test_every_kind_of_file_is_told_as_decoders_tell_it_and_looks_upright_once_it_fits(group: str) -> None:
    """`benchmarks/image_corpus.py` has more sizes, more gateways, and the videos."""
    register_heif_opener()
    samples = [Sample(*row) for row in MAKERS[group]()]
    faults = {
        sample.name: found
        for sample in samples
        if (found := [*facts_differ(sample), *fitted_differs(sample, LIMITS["narrow"])])
    }
    assert faults == {}
    assert samples
