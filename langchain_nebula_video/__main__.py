"""`python -m langchain_nebula_video`: the command line `nebula-video`."""

from langchain_nebula_video.cli import main

if __name__ == "__main__":
    main()
