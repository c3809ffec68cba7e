"""Weights of others and our own: what is inside a file, into a backbone strictly, and out as safetensors."""

from models.weights.classes import PRESETS, agreed_order, class_order, output_order, preset
from models.weights.errors import WeightsError
from models.weights.exporting import backbone_bytes, convert
from models.weights.inputs import BackboneInput, input_of
from models.weights.inspecting import Inspection, PossibleBackbone, inspect
from models.weights.loading import LoadReport, load_backbone, load_classifier
from models.weights.reading import WeightsFile, read

__all__ = [
    "PRESETS",
    "BackboneInput",
    "Inspection",
    "LoadReport",
    "PossibleBackbone",
    "WeightsError",
    "WeightsFile",
    "agreed_order",
    "backbone_bytes",
    "class_order",
    "convert",
    "input_of",
    "inspect",
    "load_backbone",
    "load_classifier",
    "output_order",
    "preset",
    "read",
]
