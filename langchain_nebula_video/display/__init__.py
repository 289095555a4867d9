"""How a video, a task and its progress show themselves in a notebook: HTML and text, without a signed address.

Other rooms may import `cards` and `player`. May import: no other room. It reads one file: the saved video.
"""
