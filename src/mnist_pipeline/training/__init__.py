"""How weights come to be."""
