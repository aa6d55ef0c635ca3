"""The demo image: a tiny Linux that a box builds for itself from packages of its own distribution.

`build.py` is the door. The guest's own files stand below `guest/`, as they will lie on its disk.
Standard library only: the box builds the image before there is an environment.
"""
