"""Files of models and of checkpoints: written as a whole, read with suspicion."""
