"""The stores that these tests run with: those of this Python, or the one that `NEBULA_STORE` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from pytest_socket import enable_socket, socket_allow_hosts

from tests.environments import NotInstalledError, give_up
from tests.stores.servers import STORES, Store

NAMES = os.environ.get("NEBULA_STORE", "local s3").split()


@pytest.fixture(autouse=True)
def _loopback_only() -> None:
    enable_socket()
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="module", params=NAMES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    enable_socket()
    try:
        with STORES[request.param](tmp_path_factory.mktemp(request.param)) as running:
            yield running
    except NotInstalledError as error:
        give_up(error)


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Store:
    """The store, as its package finds it, and a folder of this test's own."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    fsspec.config.set_conf_env(fsspec.config.conf)
    if "s3" in fsspec.registry:  # its endpoint is not among its arguments
        fsspec.registry["s3"].clear_instance_cache()
    return server.below(request.node.originalname.removeprefix("test_")[:40])


@pytest.fixture
def folder(store: Store) -> Path:
    """The folder of the store on this machine."""
    if store.folder is None:
        pytest.skip("the store keeps its files elsewhere")
    return store.folder
