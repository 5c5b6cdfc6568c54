"""The routes, one module for each subject; a handler reads as its line in the contract."""
