"""Catalog: the rows of models and gateways, registration of your own rows, and prices.

Public: `models` and `gateways`; `register_model` and `register_gateway` are exported by the package.
May import: protocols, media, errors, schema.
"""
