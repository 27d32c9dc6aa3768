"""Files: atomic writes, folder locks, and safe reading of untrusted arrays. Knows no other package of the project."""
