"""The ABAW submission harness: from Aff-Wild2 on disk to a submission that cannot be rejected."""

__version__ = "0.1.0"
