"""How fast training is on this machine, next to what the machine's own convolutions and matrix products allow.

A tool: nothing else in `common` knows about it.
"""
