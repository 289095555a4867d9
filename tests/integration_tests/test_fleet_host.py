"""A worker on a second host: it has the database's URL and the gateway's key, and nothing else."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, ItemState
from langchain_nebula_video.media.mp4 import find_mp4_defect
from tests.conftest import png
from tests.fleets import PATIENCE, all_results, assert_counts_hold, query, submits_of, until
from tests.gateways import INTERVAL, SPEED
from tests.hosts import Host, second_host
from tests.postgres import Server, programs_folder

PASSWORD = "of-the-database"
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def host() -> Iterator[Host]:
    """A second host."""
    try:
        with second_host() as found:
            yield found
    except PermissionError as error:
        pytest.skip(f"no network namespace can be made here: {error}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user may enter."""
    made = Path(tempfile.mkdtemp(prefix="nebula-host-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def database(host: Host, folder: Path) -> Iterator[tuple[str, str]]:
    """A database on this host: its URL here, and over the network."""
    programs = programs_folder()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    (folder / "pg").mkdir()
    server = Server(programs, folder / "pg")
    try:
        server.listen(host.here, host.network, PASSWORD)
        yield server.create("videos"), f"postgresql://nebula:{PASSWORD}@{host.here}/videos"
    finally:
        server.stop("immediate")


async def test_a_worker_on_another_host_needs_the_database_and_the_key_alone(
    host: Host, database: tuple[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = database
    images, videos, elsewhere = folder / "images", folder / "videos", folder / "elsewhere"
    for each in (images, videos, elsewhere):
        each.mkdir()
    for number in range(3):
        (images / f"cat-{number}.png").write_bytes(png(400 + number, 400))
    with Emulator(host=host.here, speed=SPEED) as emulator:
        monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
        fleet = Fleet(here)
        await fleet.init()
        told = await fleet.submit_many(
            [{"image": path, "prompt": path.stem, "resolution": "480p"} for path in sorted(images.iterdir())],
            batch="cats",
            base_url=emulator.url,
            allow_http=True,
            download_hosts=[host.here],  # its files are on a private network
            poll_interval=INTERVAL,
            save_to=str(videos),
        )
        assert told.added == 3

        # Its own environment, folder and home, and no images: an empty file system is mounted over them there.
        program = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from langchain_nebula_video.cli import main"
        run = [sys.executable, "-c", f"{program}; main()", "fleet", "worker", "--concurrency", "3", "--verbose"]
        given = [f"NEBULA_JOURNAL={there}", f"NEBULA_API_KEY={emulator.api_key}"]
        script = f"mount -t tmpfs none {images} && exec env -i {shlex.join([*given, *run])}"
        worker = subprocess.Popen(  # noqa: ASYNC220 it begins at once
            ["ip", "netns", "exec", host.name, "unshare", "--mount", "sh", "-c", script],
            cwd=elsewhere,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            results = await all_results(fleet, "cats")
            status = await fleet.status()
        finally:
            worker.terminate()
            output, _ = worker.communicate(timeout=PATIENCE)
            sys.stdout.write(output)  # of a test that failed

    assert {result.state for result in results} == {ItemState.DONE}
    assert submits_of(emulator) == {f"cat-{number}": 1 for number in range(3)}
    assert not any(find_mp4_defect(Path(str(result.video and result.video.path))) for result in results)
    assert {Path(str(result.video and result.video.path)).parent for result in results} == {videos}
    assert worker.returncode == 0
    assert [status.batches[0].account in each.accounts for each in status.workers] == [True]
    assert query(here, "SELECT count(*) FROM nebula_entries WHERE state = 'succeeded'") == [(3,)]
    assert not list(elsewhere.iterdir())
    assert_counts_hold(here)
    await until(lambda: query(here, "SELECT id FROM nebula_fleet_workers WHERE ended_at IS NOT NULL"), "its sign-off")
