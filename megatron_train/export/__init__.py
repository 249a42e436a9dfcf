"""A checkpoint -> a folder for others, tensor by tensor, without a model."""
