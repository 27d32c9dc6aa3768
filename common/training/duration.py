"""Times in words. Does not import TensorFlow."""


def duration(seconds: float) -> str:
    """Return a time in words, rounded: 45 s, 7 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
