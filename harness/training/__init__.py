"""One loop for supervised, self-supervised and temporal training; each is an objective of it."""
