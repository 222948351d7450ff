"""What a launch can reach: semantics per platform, one graph per sandbox, verdicts, paths and the cut that closes them."""
