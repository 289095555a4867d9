"""LangChain: tools, toolkit and runnable, and what agents and graphs share: keys, progress, traces, approval, budgets.

Public from here: `conversation` and `progress`; the package itself exports the classes.
May import: client and the rooms below it.
"""
