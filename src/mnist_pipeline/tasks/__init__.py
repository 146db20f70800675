"""The doors for people: what the command does apart from the stages. Each reads files, calls the rooms and prints."""
