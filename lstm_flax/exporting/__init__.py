"""Exports classifiers as folders for other runtimes, from text to calibrated probabilities.

    export            export_model: writes the folder
    description       model.json, and the card
    state_dict        the parameters under torch's names
    onnx_graph        model.onnx: ONNX's own LSTM, GRU and RNN
    stablehlo         model.stablehlo: `jax.export`
    comparison        compares the folder's own program, in a separate process, with the predictor
    runners/          the programs copied into a folder; they import nothing from this package

The package never imports `runners`: they are only copied.
"""
