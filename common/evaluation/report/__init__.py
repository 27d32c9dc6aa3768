"""The command `report`: one HTML file that shows a trained run, with pictures that move with the codes."""
