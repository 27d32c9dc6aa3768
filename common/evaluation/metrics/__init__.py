"""Metrics: numpy in, numbers out; none knows how the codes were made.

DCI is not among them: it is defined by scikit-learn's gradient boosted trees (disentanglement_lib) or random forests
(its paper), and other trees give other numbers under the same name.
"""
