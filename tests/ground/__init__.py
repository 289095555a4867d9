"""What needs a machine of its own: not part of the suite, each with one command.

`sudo .venv/bin/python -m tests.ground` makes two network namespaces and removes them again. Nothing else of the machine
changes. It needs the programs of `tests/networks.py`, `ip` and `dnsmasq`. One namespace is the world: an emulator, its
front, proxies and a name server. The other one is a machine that reaches nothing but these proxies.
"""
