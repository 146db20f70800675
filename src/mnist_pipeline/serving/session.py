"""An exported network, ready to run."""

import onnxruntime


def open_session(network: bytes) -> onnxruntime.InferenceSession:
    """A session of onnxruntime for the bytes of an ONNX file, on one thread of the CPU.

    One thread gives the same sums whatever the number of cores, and times that can be compared.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
