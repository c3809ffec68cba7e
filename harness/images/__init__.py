"""From files on disk to batches the network takes: decoding in workers, everything else in batches where the model is."""
