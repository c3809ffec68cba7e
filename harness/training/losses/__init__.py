"""What a network is trained by: the torch half of harness.kinds, a loss for each kind and their sum."""
