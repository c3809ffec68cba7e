"""The ABAW submission harness: from Aff-Wild2 on disk to a submission that was checked line by line."""

__version__ = "0.1.0"
