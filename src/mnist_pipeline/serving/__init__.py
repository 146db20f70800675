"""An exported network and the pictures that it takes."""
