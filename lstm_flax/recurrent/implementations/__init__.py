"""Implementations of a recurrent layer: same parameters, same results.

    dispatch    chooses between them: start here
    scan        the reference, which scans Flax's cells
    fused       the LSTM, faster
    cudnn       the LSTM on NVIDIA GPUs
    truncation  truncated backpropagation through time, over any of them

    joined_weights  the LSTM's weights with the gates side by side
    first_order     the error when `fused` is asked for higher derivatives
    time_loop       the loop of `fused`, and access to its arrays
    words           16-bit floats stored as integers, for arrays that a loop writes to
    varying         arrays created inside `jax.shard_map`

`recurrent/stack.py` calls them.
"""
