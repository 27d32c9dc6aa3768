"""Metrics: numpy in, numbers out; none knows how the codes were made."""
