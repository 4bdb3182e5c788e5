"""From token ids to logits with onnxruntime."""

import onnxruntime


class Classifier:
    """Runs model.onnx."""

    def __init__(self, folder, about):
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        self.inputs = [node.name for node in self.session.get_inputs()]

    def __call__(self, token_ids, lengths, features):
        """Logits f32[B, C] of i32[B, T], i32[B] and, if the model uses them, f32[B, T, F]."""
        given = {"token_ids": token_ids, "lengths": lengths, "token_features": features}
        return self.session.run(None, {name: given[name] for name in self.inputs})[0]
