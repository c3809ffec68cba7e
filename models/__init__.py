"""Networks: backbones, heads, self-supervised objectives and weights. Imports torch, never harness."""
