"""How fast a training step is, next to what the machine's own convolutions and matrix products could do: python -m common.benchmark."""
