"""What is trained: the classifier and the language model."""
