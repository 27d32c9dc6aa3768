"""The loop around `keras.Model.fit`: callbacks, checkpoints, resuming, signals, devices.

Nothing here knows of metrics or figures: the functions that score and draw are passed in.
"""
