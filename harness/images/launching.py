"""What Accelerate finds in the environment, put there by hand or by `accelerate launch` from a saved configuration.

Each variable it reads is decided on, so that nothing changes a result unseen: where it runs is taken, what changes numbers is the
recipe's and overruled, and ways of training that are not supported are refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from harness.errors import UsageError

# Ways of splitting a network over devices: checkpoints here are whole and plain.
REFUSED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "fully sharded data parallel",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism configuration",
    "ACCELERATE_USE_SAGEMAKER": "SageMaker",
}
# What a recipe says, and nothing else; with the value that means what is done anyway.
OVERRULED = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("1", "the recipe's `accumulate` is used"),
    "ACCELERATE_DYNAMO_BACKEND": ("NO", "the recipe's `compile` is used"),
    "ACCELERATE_MIXED_PRECISION": ("", "the recipe's precision is used"),
}
# Where it runs, what it prints, and details of what is refused or overruled above: by themselves they change no number.
TAKEN = (
    "ACCELERATE_ALLOW_CP_STANDALONE",
    "ACCELERATE_BYPASS_DEVICE_MAP",
    "ACCELERATE_CONFIG_DS_FIELDS",
    "ACCELERATE_CPU_AFFINITY",
    "ACCELERATE_DEBUG_MODE",
    "ACCELERATE_DEBUG_RDV_FILE",
    "ACCELERATE_DEEPSPEED_",
    "ACCELERATE_DISABLE_RICH",
    "ACCELERATE_DOWNCAST_BF16",
    "ACCELERATE_DYNAMO_",
    "ACCELERATE_ENABLE_RICH",
    "ACCELERATE_FP8_",
    "ACCELERATE_GRADIENT_CLIPPING",
    "ACCELERATE_INIT_INCLUDE_BUFFERS",
    "ACCELERATE_LOG_LEVEL",
    "ACCELERATE_SAGEMAKER_",
    "ACCELERATE_TORCH_DEVICE",
    "ACCELERATE_USE_CPU",
)
_TRUE = ("1", "true", "yes", "on", "y", "t")


def refuse_unsupported(environment: Mapping[str, str] = os.environ) -> None:
    """Raises UsageError where the environment asks for a way of training that is not supported, saying which and what to do."""
    for variable, meaning in REFUSED.items():
        if environment.get(variable, "").lower() in _TRUE:
            raise UsageError(
                f"{meaning} is not supported",
                found=f"{variable}={environment[variable]}",
                expected="plain data parallel processes",
                remedy=f"unset {variable}, launch with torchrun, or name another file: accelerate launch --config_file FILE",
            )


def overruled(environment: Mapping[str, str] = os.environ) -> list[str]:
    """A line for each variable that is set and not followed, because the recipe decides it."""
    return [
        f"{variable}={environment[variable]} in the environment is not followed: {why}"
        for variable, (same, why) in OVERRULED.items()
        if environment.get(variable, same) not in (same, "", "no") and not (same and environment[variable].upper() == same)
    ]
