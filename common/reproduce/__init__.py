"""The paper in one command: which runs its tables and figures need, training them, and writing what comes out.

Knows the scripts, their flags and the files that they write, and runs them as processes; knows no networks.
"""
