"""The data sets, one module each: readers, preprocessing, the cache, batches, synthetic data. Knows no models."""
