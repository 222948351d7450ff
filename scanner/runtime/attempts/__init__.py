"""What a watched run tried, judged: each kind of attempt is one file, and each attempt belongs to the first that takes it."""
