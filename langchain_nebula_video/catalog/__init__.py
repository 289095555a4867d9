"""Rows: what each model can do, where each gateway is, and what a gateway serves at which price.

Public from here: `models`, `gateways` and `registry`. May import media, protocols, errors and schema.
"""
