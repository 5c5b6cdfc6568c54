"""What a bundle carries beside the model: code that runs on a merchant's machine without us."""
