"""What a run changed: files before and after, compared by content."""
