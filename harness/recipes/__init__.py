"""Recipes: YAML files, one per row of the paper's Table 1 and more, and the code that reads them."""
