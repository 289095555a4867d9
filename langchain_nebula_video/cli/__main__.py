"""`python -m langchain_nebula_video.cli`."""

from langchain_nebula_video.cli import main

main()
