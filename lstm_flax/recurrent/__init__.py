"""Recurrent layers and their implementations.

    layers           LSTM, GRU and RNN: start here
    stack            the base they share: layers, directions, states
    implementations  the scan over Flax's cells, and faster ways to get the same results
    processor        the dtype whose products are fast on this machine
    gates            gate values and cell states, recovered from a layer's inputs and outputs
    masking          masks from lengths
    merging          merges the outputs of the two directions
    cells            gates and parameter names; variants: cells that Flax lacks
    initializers     orthogonal recurrent kernels
    checks           errors for inputs, lengths and parameters that do not fit
    torch_weights    state dicts of torch to parameters and back

>>> from lstm_flax.recurrent import torch_weights
>>> torch_weights.__all__
['classifier_from_torch', 'classifier_to_torch', 'from_torch', 'to_torch']
"""
