"""Checkpoint and tracks to scores: one forward pass per seen frame, one file per track, resumable at any moment."""
