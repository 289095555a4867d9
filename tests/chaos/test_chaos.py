"""Short runs of the chaos, a part each; `make chaos` and `make chaos_postgres` are the long ones."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.accounts import accounts
from tests.chaos.bodies import bodies
from tests.chaos.consents import consents
from tests.chaos.databases import databases
from tests.chaos.disturbances import crash_now_and_then
from tests.chaos.downloads import downloads
from tests.chaos.fleet import FleetPlan, fleet_chaos
from tests.chaos.forks import forks
from tests.chaos.plan import Plan
from tests.chaos.run import ZEROS, locked, replaced
from tests.chaos.rush import rush
from tests.chaos.storm import storm
from tests.pgbouncer import find_pgbouncer
from tests.postgres import programs_folder

# A test of paying once that fails is news, also if it passes the next time.
pytestmark = pytest.mark.flaky(reruns=0)

REQUIRED = os.environ.get("NEBULA_REQUIRE_POSTGRES") == "1"


def test_killed_and_faulted_processes_neither_pay_twice_nor_lose_a_video(tmp_path: Path) -> None:
    figures = locked(Plan(generations=80, kills=5, seed=7, processes=3, full_disks=False), tmp_path)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.disturbances["kills"] >= 1  # a fast machine is done before the fifth
    assert figures.peak_submits <= 4
    # Each of five kills may leave four submits in doubt, five answers are lost, and the budget is for 77.
    assert figures.states["succeeded"] >= 50, str(figures)


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_submit_behind_long_downloads_is_not_paid_again_by_another_process(tmp_path: Path, kind: str) -> None:
    figures = downloads(Plan(generations=64, seed=1), tmp_path, [kind])
    assert figures.zeros == ZEROS, str(figures)
    assert figures.disturbances["slow_downloads"] >= 40, str(figures)
    assert figures.deliveries >= 60, str(figures)


def test_two_users_of_one_account_never_get_each_others_videos(tmp_path: Path) -> None:
    figures = accounts(Plan(generations=48, seed=1), tmp_path)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.states["succeeded"] >= 30, str(figures)


def test_six_consents_at_once_pay_for_one_video(tmp_path: Path) -> None:
    figures = consents(Plan(generations=12, seed=1), tmp_path)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.tasks == 12, str(figures)


def test_a_rush_of_callers_stays_within_the_budget_and_four_submits_at_once(tmp_path: Path) -> None:
    figures = rush(Plan(generations=64, seed=1), tmp_path)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.tasks == 20, str(figures)
    assert figures.peak_submits <= 4


def test_processes_stop_before_the_post_while_their_journal_is_away_and_go_on_with_a_restored_one(
    tmp_path: Path,
) -> None:
    figures = replaced(Plan(generations=90, seed=5, processes=2, full_disks=False), tmp_path)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.disturbances["submits_without_the_file"] == 0, str(figures)
    assert figures.disturbances["files_made_anew"] == 0, str(figures)
    assert figures.states["succeeded"] >= 60, str(figures)


def test_children_of_a_process_with_open_clients_get_their_own_videos_and_none_hangs(tmp_path: Path) -> None:
    figures = forks(Plan(generations=34, seed=1, processes=1), tmp_path)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.disturbances["hung_children"] == figures.disturbances["hung_parents"] == 0, str(figures)
    assert figures.disturbances["failed_calls"] == 0, str(figures)
    assert figures.states["succeeded"] == 34, str(figures)


def test_callers_that_give_up_and_call_again_pay_once(tmp_path: Path) -> None:
    figures = bodies(Plan(generations=16, seed=1), tmp_path)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.tasks == 16
    assert figures.disturbances["bodies_given_up"] >= 16, str(figures)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can reach."""
    if programs_folder() is None and not REQUIRED:
        pytest.skip("PostgreSQL's programs (initdb, pg_ctl) are not installed")
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def skip_without_pgbouncer() -> None:
    if find_pgbouncer() is None and not REQUIRED:
        pytest.skip("pgbouncer is not installed")


def test_they_share_a_postgresql_at_repeatable_read_that_crashes_in_between(folder: Path) -> None:
    with databases(folder, pooled=False) as made:
        plan = Plan(generations=40, kills=2, seed=3, processes=2, full_disks=False, make_journal=made.create)
        figures = storm(plan, folder, crash_now_and_then(made.server))
    assert figures.zeros == ZEROS, str(figures)
    assert figures.disturbances["server_crashes"] >= 1
    assert figures.peak_submits <= 4
    assert figures.states["succeeded"] >= 20, str(figures)


def test_a_rush_on_a_postgresql_at_repeatable_read_stays_within_the_budget(folder: Path) -> None:
    with databases(folder, pooled=False) as made:
        figures = rush(Plan(generations=64, seed=1, make_journal=made.create), folder)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.tasks == 20, str(figures)
    assert figures.peak_submits <= 4


def test_they_share_a_postgresql_behind_pgbouncer_that_crashes_in_between(folder: Path) -> None:
    skip_without_pgbouncer()
    with databases(folder, pooled=True) as made:
        plan = Plan(generations=40, kills=2, seed=3, processes=2, full_disks=False, make_journal=made.create)
        figures = storm(plan, folder, crash_now_and_then(made.server))
    assert figures.zeros == ZEROS, str(figures)
    assert figures.disturbances["server_crashes"] >= 1
    assert figures.peak_submits <= 4
    assert figures.states["succeeded"] >= 20, str(figures)


def test_a_rush_on_a_postgresql_behind_pgbouncer_stays_within_the_budget(folder: Path) -> None:
    skip_without_pgbouncer()
    with databases(folder, pooled=True) as made:
        figures = rush(Plan(generations=64, seed=1, make_journal=made.create), folder)
    assert figures.zeros == ZEROS, str(figures)
    assert figures.tasks == 20, str(figures)
    assert figures.peak_submits <= 4


def test_a_fleet_whose_workers_and_database_fail_neither_pays_twice_nor_loses_an_item(folder: Path) -> None:
    plan = FleetPlan(videos=40, concurrency=8, kills=6, drain_every=7, crashes=1, away_seconds=0, hosts=False)
    figures = fleet_chaos(plan, folder)
    assert figures.faults == {}, str(figures)
    assert figures.events["kills"] >= 1
    assert figures.events["crashes of PostgreSQL"] == 1
    assert figures.states["done"] >= 12, str(figures)  # each kill may leave four submits in doubt


def test_a_fleet_on_several_machines_takes_up_what_a_killed_one_had(folder: Path) -> None:
    plan = FleetPlan(videos=30, processes=2, concurrency=10, kills=1, crashes=0, away_seconds=0)
    figures = fleet_chaos(plan, folder)
    assert figures.faults == {}, str(figures)
    assert figures.take_ups.seconds, str(figures)
    assert figures.states["done"] >= 15, str(figures)
