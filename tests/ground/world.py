"""The world: an emulator, its front, proxies, and a name server that makes up addresses. It ends with its stdin."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from langchain_nebula_video.emulator import Emulator
from tests.gateways import BEIJING, SPEED
from tests.ground.places import FILES, FRONT, GATEWAY, MADE_UP, OWN, PROXY, STORAGE, VENDOR
from tests.networks import PASSWORD, SOCKS_QUOTED, USER, network
from tests.programs import running

_RENAMED = """
    server {{{{
        listen {{listen}}:{{port}} ssl http2;
        server_name {names};
        location / {{{{
            proxy_pass {{emulator}};
            proxy_set_header Host renamed.example.test:$server_port;
            proxy_set_header X-Forwarded-Proto https;
            sub_filter_types application/json;
            sub_filter_once off;
            sub_filter "https://renamed.example.test:" "https://{storage}:";
        }}}}
    }}}}
"""
"""A gateway whose storage has another name. The emulator has one name for both."""


def main(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        emulator = stack.enter_context(Emulator(speed=SPEED))
        emulator.add_account(BEIJING, region="beijing", balance=100)
        more = _RENAMED.format(names=f"{VENDOR} {STORAGE}", storage=STORAGE)
        more += _RENAMED.format(names=f"{OWN} {FILES}", storage=FILES)
        fronts = {"front": FRONT, "listen": "0.0.0.0", "names": (GATEWAY, VENDOR, STORAGE, OWN, FILES), "more": more}
        net = stack.enter_context(network(folder, emulator, host=PROXY, **fronts))  # type: ignore[arg-type]
        (folder / "names").mkdir()
        dnsmasq = f"dnsmasq --keep-in-foreground --no-resolv --no-hosts --user=root --pid-file --listen-address={PROXY}"
        command = [*dnsmasq.split(), "--bind-interfaces", f"--address=/#/{MADE_UP}"]
        stack.enter_context(running(command, 53, folder / "names", host=PROXY))
        facts = {
            "port": net.port,
            "authority": str(net.authority),
            "key": emulator.api_key,
            "beijing": emulator.dashscope_url("beijing").removeprefix(emulator.url),
            "proxies": {
                "HTTPS_PROXY=http://…": f"http://{net.http}",
                "HTTPS_PROXY=http://USER:PASSWORD@…": f"http://{USER}:{PASSWORD}@{net.http_with_password}",
                "HTTPS_PROXY=socks5h://…": f"socks5h://{USER}:{SOCKS_QUOTED}@{net.socks}",
            },
        }
        (folder / "facts.json").write_text(json.dumps(facts))
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
