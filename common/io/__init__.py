"""Files: atomic writes, locks, and safe reading of untrusted arrays.

Nothing here knows of any other package.
"""
