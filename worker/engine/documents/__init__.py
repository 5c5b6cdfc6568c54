"""The files that tell people about a model: its card and its report, from facts alone."""
