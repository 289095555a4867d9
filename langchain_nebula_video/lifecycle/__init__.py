"""A task's life from the request to the saved video, written once as async code for both runtimes.

Other rooms may import `factory.LifecycleOptions`, `options.Options`, `options.ClientOptions`, `orders` and
`context.newly_succeeded`.
May import: journal, saving, catalog, transport, protocols, media, schema, errors.
"""
