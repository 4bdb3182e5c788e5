"""Recurrent layers and their implementations.

    layers           LSTM, GRU and RNN: start here
    stack            what they share: layers, directions, states
    implementations  the scan over Flax's cells, and faster ways to the same numbers
    processor        the dtype in which products are fast here
    gates            what happens inside the cells, from a layer's inputs and outputs
    masking          masks from lengths
    merging          the outputs of two directions as one
    cells            gates and parameter names; variants: cells that Flax does not have
    initializers     orthogonal recurrent kernels
    checks           errors for inputs, lengths and parameters that do not fit
    torch_weights    state dicts of torch to parameters and back

>>> from lstm_flax.recurrent import torch_weights
>>> torch_weights.__all__
['classifier_from_torch', 'classifier_to_torch', 'from_torch', 'to_torch']
"""
