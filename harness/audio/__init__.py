"""Sound as features of frames: waveforms on the clock of their film, and a vector for the moment at which each frame is shown."""
