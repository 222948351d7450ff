"""Launch files: one file per format, each read into a Launch whose every value knows its line."""
