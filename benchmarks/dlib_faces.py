"""Features of dlib's face recognition network, a reference for networks that learned from faces: it learned who people are.

The file is dlib_face_recognition_resnet_model_v1.dat of the package face-recognition-models 0.3.0 (CC0; 22 MB). It is for
comparisons in development alone and no part of the harness.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from harness.data.landmarks import read_landmarks
from harness.data.tracks import Track
from harness.demo.landmarks import CROP_SIZE
from harness.images.sampling import labelled_frames
from harness.studies.features import Features
from models.ssl.landmarks import TEMPLATE, TEMPLATE_SIDE

ENLARGED = 4
"""Crops are enlarged so many times, because dlib takes points in whole pixels."""


def dlib_features(model: Path, tracks: Sequence[Track], landmarks: Path) -> Features:
    """Descriptors (N, 128) of the labelled frames of tracks, aligned by their own landmarks, or the template's without any."""
    import dlib

    network = dlib.face_recognition_model_v1(str(model))
    known = read_landmarks(landmarks, CROP_SIZE)
    template = np.asarray(TEMPLATE) / TEMPLATE_SIDE
    side = ENLARGED * CROP_SIZE
    whole = dlib.rectangle(0, 0, side - 1, side - 1)
    frames = labelled_frames(tracks)
    values = np.empty((len(frames), 128), np.float32)
    for row in range(len(frames)):
        track, frame = tracks[frames.track[row]], int(frames.frame[row])
        pixels = Image.open(track.image_path(frame)).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        points = known.of(track.name, frame)
        places = np.rint((template if points is None else points) * side).astype(int)
        shape = dlib.full_object_detection(whole, dlib.points([dlib.point(int(x), int(y)) for x, y in places]))
        values[row] = network.compute_face_descriptor(np.asarray(pixels), shape)
    names = [tracks[index].recording for index in frames.track]
    recordings = tuple(dict.fromkeys(names))
    groups = np.array([recordings.index(name) for name in names], np.int64)
    return Features(values, frames.label.astype(np.int64), groups, recordings, ())
