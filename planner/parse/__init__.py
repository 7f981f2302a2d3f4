"""One tool's output, or one file's text, to facts: pure functions, one file per tool."""
