"""The version of Regraft, as answers, models and their cards name it."""

__version__ = "0.1.0"
