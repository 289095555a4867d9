"""Real stores on loopback, and what saving to each of them does.

Most of the stores' packages are in an environment of their own. `tests/integration_tests/test_stores.py` runs these
tests there, store by store: `NEBULA_STORE=azure .venvs/stores-3.11/bin/python -m pytest tests/stores`.
"""
