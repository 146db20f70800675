"""What the command line does apart from the stages: each reads files, calls the packages and prints."""
