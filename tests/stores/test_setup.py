"""What a store needs to be found: what is missing is told before a video is paid for, with the name of the setting."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.saving.targets import check_target
from langchain_nebula_video.saving.trial import try_target
from tests.stores.conftest import NAMES

_DEAD = "http://127.0.0.1:9"
_MISSING: dict[str, list[tuple[str, dict[str, str], str, str]]] = {
    "s3": [
        ("s3://videos/made", {}, "Unable to locate credentials", "AWS_ACCESS_KEY_ID"),
    ],
    "azure": [("az://videos/made", {}, "account_name", "AZURE_STORAGE_CONNECTION_STRING")],
    "oss": [
        ("oss://videos/made", {}, "endpoint is required", "OSS_ENDPOINT"),
        ("oss://videos/made", {"OSS_ENDPOINT": _DEAD}, "Max retries exceeded", "FSSPEC_OSS_KEY"),
    ],
    "sftp": [("sftp://cat@127.0.0.1:9/made", {}, "Connect call failed", "ssh USER@HOST")],
    "webdav": [
        ("webdav://made", {}, "base_url", "FSSPEC_WEBDAV_BASE_URL"),
        ("webdav://made", {"FSSPEC_WEBDAV_BASE_URL": _DEAD}, "Connection refused", "FSSPEC_WEBDAV_BASE_URL"),
    ],
}
"""By store: the place, what is set, the reason that is told, the setting that is named."""
_SETTINGS = ("AWS_", "AZURE_", "FSSPEC_", "OSS_")


def _check(url: str) -> None:
    """Do what is done before a video is paid for."""
    check_target(url)
    try_target(url, 1000)


@pytest.mark.parametrize(
    ("url", "env", "why", "setting"), [row for name in NAMES if name in _MISSING for row in _MISSING[name]]
)
def test_what_a_store_lacks_is_told_before_paying(
    url: str, env: dict[str, str], why: str, setting: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", **env}.items():
        monkeypatch.setenv(name, value)
    conf: dict[str, dict[str, str]] = {}
    fsspec.config.set_conf_env(conf)
    monkeypatch.setattr(fsspec.config, "conf", conf)
    for name in ("s3", "az", "oss"):  # they read the environment themselves, and a file system is made once
        if name in fsspec.registry:
            fsspec.registry[name].clear_instance_cache()
    with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent") as caught:
        _check(url)
    assert why in str(caught.value)
    assert setting in str(caught.value)
