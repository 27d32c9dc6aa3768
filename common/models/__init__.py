"""The systems that can be trained, one page each; `registry` names them and their hyper-parameters.

Nothing here knows of data sets, files or flags. `registry` does not import TensorFlow.
"""
