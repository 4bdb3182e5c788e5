"""Weights of n-grams as evidence for the classes, inputs beside the embeddings.

    weights        the weights that a text's tokens have
    fitting        how they are fitted to the training texts
    sorted_hashes  looking an n-gram up

`TextEncoder` fits, keeps and asks them.
"""
