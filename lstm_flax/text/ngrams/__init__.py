"""N-gram weights as evidence for the classes: inputs in addition to the embeddings.

    weights        looks up the weights of a text's tokens
    fitting        fits the weights to the training texts
    sorted_hashes  looks up n-grams

`TextEncoder` fits, stores and applies them.
"""
