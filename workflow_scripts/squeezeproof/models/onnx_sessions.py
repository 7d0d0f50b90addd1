"""ONNX Runtime as every part of the workflow runs it."""

from pathlib import Path
from typing import Any

from squeezeproof.markers import refuse_marker


def open_session(model: str | Path | bytes, threads: int = 1) -> Any:
    """ONNX Runtime on the CPU for an ONNX file (a path) or its bytes, with a number of threads.

    Integer kernels are exact on every processor: where one would saturate 16-bit sums (AVX2 and AVX-512 without VNNI),
    ONNX Runtime turns int8 weights into uint8.
    """
    import onnxruntime

    if not isinstance(model, bytes):
        refuse_marker(model)
    options = onnxruntime.SessionOptions()  # ty: ignore[possibly-missing-attribute]
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Idle threads of one session would slow the next one that is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # What fails is raised, and need not be printed too.
    options.log_severity_level = 4
    model = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
