"""Adding labels to a finished model: its head stays, rows for the new labels are put beside it."""
