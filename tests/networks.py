"""A network for the tests: an emulator behind real fronts with a certificate of their own CA, and real proxies.

Only the proxies can resolve the names below `example.test`, all of which are this machine. Debian's packages:
`tinyproxy`, `microsocks`, `nginx`, `haproxy`, and `libnss-wrapper`, which gives the proxies a hosts file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

from langchain_nebula_video.emulator import Emulator
from tests.programs import find_program, free_port, running

__all__ = ["Network", "missing_program", "network"]

USER, PASSWORD = "me", "geheim1"  # tinyproxy knows letters and digits only
SOCKS_PASSWORD, SOCKS_QUOTED = "gehe@im/1", "gehe%40im%2F1"
NAMES = tuple(f"{name}.example.test" for name in ("gw", "firewall", "portal", "moved", "slow"))
_PROGRAMS = ("tinyproxy", "microsocks", "nginx", "haproxy")
_WRAPPERS = ("/usr/lib/*/libnss_wrapper.so", "/usr/lib64/libnss_wrapper.so", "/usr/lib/libnss_wrapper.so")

_TINYPROXY = """\
Listen {host}
Port {port}
Timeout 60
LogFile "{folder}/{name}.log"
LogLevel Connect
"""
_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log off;
    server_names_hash_bucket_size 128;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 50m;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.pem;
    default_type text/html;
    server {{
        listen {listen}:{port} ssl http2 default_server;
        location / {{
            proxy_pass {emulator};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
    {more}
    server {{
        listen {listen}:{port} ssl http2;
        server_name firewall.example.test;
        location / {{ return 403 "<html><head><title>Access denied</title></head><body>no</body></html>"; }}
    }}
    server {{
        listen {listen}:{port} ssl http2;
        server_name portal.example.test;
        location / {{ return 200 "<!DOCTYPE html><title>Hotel &amp; Bar: log in</title>"; }}
    }}
    server {{
        listen {listen}:{port} ssl http2;
        server_name moved.example.test;
        location / {{ return 307 "https://new.example.net/?token=secret"; }}
    }}
}}
"""
_HAPROXY = """\
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind {listen}:{port} ssl crt {folder}/server.pem proto h2 alpn h2
    http-request set-header X-Forwarded-Proto https
    default_backend emulator
backend emulator
    server one {emulator}
"""


@dataclass(frozen=True, slots=True)
class Network:
    """What runs."""

    emulator: Emulator
    authority: Path
    """The certificate of the CA, in PEM form."""
    certificate: Path
    """A certificate for all names and its key, in PEM form."""
    port: int
    """Of the front that speaks HTTP/1.1 and HTTP/2."""
    http2_port: int
    """Of the front that speaks HTTP/2 only."""
    http: str
    """The host and port of a proxy."""
    http_with_password: str
    """The same, of one that asks for user and password."""
    socks: str
    """The same, of one that speaks SOCKS 5."""
    log: Path
    """What the first proxy was asked for."""

    def url(self, name: str = "gw") -> str:
        """Return the address of a server behind the front."""
        return f"https://{name}.example.test:{self.port}"

    def asked(self) -> list[str]:
        """Return the request lines of the first proxy, and forget them."""
        text = self.log.read_text()
        os.truncate(self.log, 0)
        return [line.partition("): ")[2].removesuffix(" HTTP/1.1") for line in text.splitlines() if "Request (" in line]


def missing_program() -> str | None:
    """Return the first program that is not installed; `None`: all are."""
    missing = next((name for name in _PROGRAMS if find_program(name) is None), None)
    return missing or (None if _wrapper() else "libnss-wrapper")


def _wrapper() -> Path | None:
    return next((path for pattern in _WRAPPERS for path in Path("/").glob(pattern[1:])), None)


@contextlib.contextmanager
def network(
    folder: Path,
    emulator: Emulator,
    *,
    host: str = "127.0.0.1",
    front: str = "127.0.0.1",
    listen: str = "127.0.0.1",
    names: tuple[str, ...] = NAMES,
    more: str = "",
) -> Iterator[Network]:
    """Run fronts and proxies until the block is left.

    Args:
        folder: Theirs.
        emulator: What is behind the fronts.
        host: Where the proxies listen.
        front: Where the fronts are.
        listen: Where they listen.
        names: What the fronts have certificates for, and the proxies take there.
        more: More of nginx's servers, as a format.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = authority.issue_cert(*names, front)
    server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "hosts").write_text("".join(f"{front} {name}\n" for name in names))
    hosts = {"LD_PRELOAD": str(_wrapper()), "NSS_WRAPPER_HOSTS": str(folder / "hosts")}
    ports = {name: free_port() for name in ("front", "http2", "http", "password", "socks")}
    facts = {
        "host": host,
        "listen": listen,
        "emulator": emulator.url,
        "user": "user root;" if os.geteuid() == 0 else "",
    }
    configs = {
        "front": _NGINX.replace("{more}", more),
        "http2": _HAPROXY.replace("{emulator}", emulator.url.removeprefix("http://")),
        "http": _TINYPROXY,
        "password": f"{_TINYPROXY}BasicAuth {USER} {PASSWORD}\n",
    }
    for name, text in configs.items():
        (folder / f"{name}.conf").write_text(text.format(port=ports[name], folder=folder, name=name, **facts))
    commands = {
        "front": ["nginx", "-p", str(folder), "-e", "stderr", "-c", f"{folder}/front.conf"],
        "http2": ["haproxy", "-q", "-db", "-f", f"{folder}/http2.conf"],
        "http": ["tinyproxy", "-d", "-c", f"{folder}/http.conf"],
        "password": ["tinyproxy", "-d", "-c", f"{folder}/password.conf"],
        "socks": ["microsocks", "-i", host, "-p", str(ports["socks"]), "-u", USER, "-P", SOCKS_PASSWORD],
    }
    with contextlib.ExitStack() as stack:
        for name, (program, *arguments) in commands.items():
            (folder / name).mkdir()
            command = [find_program(program) or program, *arguments]
            env = hosts if name in {"http", "password", "socks"} else None
            stack.enter_context(running(command, ports[name], folder / name, env, host=front if env is None else host))
        yield Network(
            emulator=emulator,
            authority=folder / "ca.pem",
            certificate=folder / "server.pem",
            port=ports["front"],
            http2_port=ports["http2"],
            http=f"{host}:{ports['http']}",
            http_with_password=f"{host}:{ports['password']}",
            socks=f"{host}:{ports['socks']}",
            log=folder / "http.log",
        )
