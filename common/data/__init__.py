"""The data sets, one file each: readers, preprocessing, the cache, batches, and synthetic replacements.

Nothing here knows of models.
"""
