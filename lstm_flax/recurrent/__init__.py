"""Recurrent layers and their implementations.

    layers         LSTM, GRU and RNN: start here
    scan           the reference implementation, which scans Flax's cells
    fused          the same LSTM, faster; cudnn: the same on NVIDIA GPUs
    dispatch       the choice between them
    processor      the dtype in which products are fast here
    gates          what happens inside the cells, from a layer's inputs and outputs
    truncation     truncated backpropagation through time
    masking        masks from lengths
    merging        the outputs of two directions as one
    cells          gates and parameter names; variants: cells that Flax does not have
    initializers   orthogonal recurrent kernels
    words          16-bit floats as the words that hold them, for arrays that a loop writes to
    varying        arrays made inside `jax.shard_map`
    checks         errors for inputs, lengths and parameters that do not fit
    torch_weights  state dicts of torch to parameters and back

>>> from lstm_flax.recurrent import torch_weights
>>> torch_weights.__all__
['classifier_from_torch', 'classifier_to_torch', 'from_torch', 'to_torch']
"""
