"""The parts of figures: images to show, labelled tables, image files.

Nothing here knows of metrics.
"""
