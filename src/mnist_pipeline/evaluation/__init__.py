"""How good a trained classifier is: one module for each analysis, with a function `analyse`."""
