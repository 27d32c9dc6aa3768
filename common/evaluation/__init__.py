"""What a trained system makes of a data set: encoding, measures, figures, tables.

Nothing here knows how a system was trained.
"""
