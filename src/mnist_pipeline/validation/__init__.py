"""The gate: facts about the images, and the expectations that they must meet."""
