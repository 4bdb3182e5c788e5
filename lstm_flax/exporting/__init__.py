"""Trained classifiers as folders that other runtimes run, from text to calibrated probabilities.

    export            export_model: writes the folder
    description       model.json, and the card
    state_dict        the parameters under torch's names
    onnx_graph        model.onnx: ONNX's own LSTM, GRU and RNN
    stablehlo         model.stablehlo: `jax.export`
    comparison        the folder's own program, in a process of its own, against the predictor
    runners/          the programs that a folder gets; they import nothing of this package

No file of the package imports `runners`: they are copied.
"""
