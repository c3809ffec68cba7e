"""Training: one loop for frame-wise, temporal and self-supervised training.

The road of a run. `start.train`, `start_temporal.train_temporal` and `pretrain.pretrain` say what run.json records and how the
network is built; `session.carry_out` does what all share: the network first, then folder and lock, then `loop.run_loop`, which
takes up the newest whole checkpoint (`checkpoint_saver.CheckpointSaver.resume`) and does the steps that are left.

The road of a step, in `loop.Trainer`:

1. **batch**: a worker calls `Objective.make_batch(step, rank, processes)`. Which samples, and the uniform numbers of their
   augmentation, are functions of (seed, step, sample): `images.sampling`. A worker reads and decodes, nothing more:
   `images.batches`.
2. **augmentation**: on the device, from uint8, by those numbers: `images.rand_augment`, `images.transforms.augment` and
   `images.mixing`, called by `Objective.loss`. A share may be worked on in portions, one after the other (`accumulate`).
3. **loss**: `Objective.loss` of this process's share (`supervised`, `temporal`, `pretraining`; the formulas stand in `losses`).
4. **update**: backward, clipping, the optimizer with the rate of the step (`optimization`), then `Objective.after_step`, which
   moves running averages of weights.
5. **evaluation**: every `evaluate_every` steps `Objective.evaluate` pools a score over tracks and processes (`validation`).
6. **checkpoint**: every `checkpoint_every` steps, at evaluations, and when a signal asks to stop (`signals`),
   `CheckpointSaver.save` writes weights, what else the objective keeps, optimizer and gradient scaler (`state`), whole or not at
   all, and removes the older ones but the best. Losses and scores stand in metrics.jsonl (`metrics`), cut back to the checkpoint
   on resume, and are told to `trackers`.

Nothing else is random and no other state is kept, so a run that was interrupted ends with the same bytes on a CPU.
"""
