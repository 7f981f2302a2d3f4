"""The command line: parses flags and prints. No decision lives here."""
