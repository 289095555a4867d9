"""Stores for the tests: servers on loopback, each started here and ended by its process id."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.environments import NotInstalledError, environment, node_package
from tests.programs import free_port, running

__all__ = ["HERE", "STORES", "Store", "store_python"]

HERE = frozenset({"local", "s3"})
"""Stores whose packages are in the tests' own environment."""
_PINS = (
    "adlfs==2026.8.0",
    "gcsfs==2026.10.1",
    "gcp-storage-emulator==2026.7.19",
    "ossfs==2025.5.0",
    "sshfs==2026.8.0",
    "universal-pathlib==0.3.10",
    "webdav4==0.11.0",
    "wsgidav==4.4.0",
    "cheroot==11.1.2",
)


def store_python(name: str) -> Path:
    """Return a Python that has the packages of a store.

    Raises:
        NotInstalledError: they are not there.
    """
    return Path(sys.executable) if name in HERE else environment("stores", _PINS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store that runs."""

    url: str
    """A folder in it that takes files."""
    missing: str
    """A folder in a bucket that does not exist; empty: the store has no buckets."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The environment in which its package finds it."""
    folder: Path | None = None
    """Where the files of `url` are on this machine, if they are there."""

    def below(self, name: str) -> Store:
        """Return the store with a folder in its folder."""
        return replace(
            self,
            url=f"{self.url}/{name}",
            missing=self.missing and f"{self.missing}/{name}",
            folder=self.folder and self.folder / name,
        )


@contextlib.contextmanager
def _local(folder: Path) -> Iterator[Store]:
    yield Store(url=str(folder / "videos"), missing="", folder=folder / "videos")


@contextlib.contextmanager
def _s3(folder: Path) -> Iterator[Store]:
    import boto3

    port = free_port()
    env = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, folder):
        client = boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=env["AWS_DEFAULT_REGION"],
        )
        client.create_bucket(Bucket="videos")
        yield Store(url="s3://videos/made", missing="s3://vidoes/made", env=env)


_AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of its account devstoreaccount1: azurite's own page tells it."""


@contextlib.contextmanager
def _azure(folder: Path) -> Iterator[Store]:
    from azure.storage.blob import BlobServiceClient

    program = node_package("azurite", "3.37.0") / "azurite-blob"
    port = free_port()
    command = [str(program), "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]
    connection = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
        f"AccountKey={_AZURITE_KEY};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
    )
    with running(command, port, folder):
        BlobServiceClient.from_connection_string(connection).create_container("videos")
        env = {"AZURE_STORAGE_CONNECTION_STRING": connection}
        yield Store(url="az://videos/made", missing="az://vidoes/made", env=env)


@contextlib.contextmanager
def _gcs(folder: Path) -> Iterator[Store]:
    port = free_port()
    program = Path(sys.executable).with_name("gcp-storage-emulator")
    command = [str(program), "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    with running([*command, "--default-bucket", "videos"], port, folder):
        env = {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
            "FSSPEC_GS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # else it asks Google by gRPC, for a minute each time
        }
        yield Store(url="gs://videos/made", missing="gs://vidoes/made", env=env)


@contextlib.contextmanager
def _oss(folder: Path) -> Iterator[Store]:
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("oss.py")), str(port), "videos"]
    with running(command, port, folder):
        env = {"OSS_ENDPOINT": f"http://127.0.0.1:{port}", "FSSPEC_OSS_KEY": "example", "FSSPEC_OSS_SECRET": "example"}
        yield Store(url="oss://videos/made", missing="oss://vidoes/made", env=env)


_SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/.ssh/id_ed25519.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


@contextlib.contextmanager
def _sftp(folder: Path) -> Iterator[Store]:
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise NotInstalledError("sshd is not installed (apt-get install openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # it insists on it
    port = free_port()
    (folder / ".ssh").mkdir()
    for key in (folder / "host_key", folder / ".ssh" / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (folder / "sshd_config").write_text(_SSHD_CONFIG.format(port=port, folder=folder))
    (folder / "made").mkdir()
    with running([program, "-D", "-e", "-f", str(folder / "sshd_config")], port, folder):
        url = f"sftp://{getpass.getuser()}@127.0.0.1:{port}{folder}/made"
        yield Store(url=url, missing="", env={"HOME": str(folder)}, folder=folder / "made")


@contextlib.contextmanager
def _webdav(folder: Path) -> Iterator[Store]:
    port = free_port()
    (folder / "files").mkdir()
    program = Path(sys.executable).with_name("wsgidav")
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--root", str(folder / "files")]
    with running([*command, "--auth", "anonymous"], port, folder):
        env = {"FSSPEC_WEBDAV_BASE_URL": f"http://127.0.0.1:{port}"}
        yield Store(url="webdav://made", missing="", env=env, folder=folder / "files" / "made")


STORES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Store]]] = {
    "local": _local,
    "s3": _s3,
    "azure": _azure,
    "gcs": _gcs,
    "oss": _oss,
    "sftp": _sftp,
    "webdav": _webdav,
}
"""How to run each, in an empty folder."""
