"""Ways to compute a recurrent layer: equal parameters, equal numbers.

    dispatch    the choice between them: start here
    scan        the reference, which scans Flax's cells
    fused       the LSTM, faster
    cudnn       the LSTM on NVIDIA GPUs
    truncation  truncated backpropagation through time, over any of them

    joined_weights  the LSTM's weights with the gates side by side
    first_order     the error where more derivatives are asked for than `fused` has
    words           16-bit floats as the words that hold them, for arrays that a loop writes to
    varying         arrays made inside `jax.shard_map`

`recurrent/stack.py` calls them.
"""
