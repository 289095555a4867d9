"""Where LangChain meets the package: tools, toolkit, runnable, and what they share.

Public from here: `conversation` and `progress`; the classes come from the package itself. May import client and below.
"""
