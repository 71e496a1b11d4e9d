"""Records a function once as a CUDA graph and then replays it: its kernels no longer wait for Python.

A training step is thousands of short kernels. Launched one by one, they take longer to launch than to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Calls before the recording, in which cuDNN tries its algorithms, and optimisers and the loss scaler make their state.
WARM_UP = 11


class CudaGraph:
    """A CUDA graph and the stream it is recorded on. Two graphs on one stream would share cuBLAS's workspace."""

    def __init__(self, device: torch.device):
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.graph = torch.cuda.CUDAGraph()

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function on the graph's stream."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = function(*arguments)
        current.wait_stream(self.stream)
        return result

    def record(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Record the function's kernels without running them. Returns its result, still without values.

        Raises RuntimeError where the function cannot be recorded or memory does not suffice.
        """
        graph = torch.cuda.CUDAGraph()
        # The outer context restores the stream, even if ending a failed recording raises. CUDA checks only this
        # thread for calls that cannot be recorded: another thread pins the memory of the next batch.
        with (
            torch.cuda.stream(torch.cuda.current_stream(self.device)),
            torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"),
        ):
            result = function(*arguments)
        self.graph = graph
        return result

    def replay(self) -> None:
        """Run the recorded kernels on the current stream."""
        self.graph.replay()


class Graphed:
    """Calls a function WARM_UP times, then records it and replays it.

    function: takes a NamedTuple of tensors (or None) on the device and returns a dict of tensors. It must neither wait
    for the device nor use a Python value that changes from call to call: the recording would keep the first one.
    graph: a CudaGraph. recover: called where recording fails, to undo what the function had begun. say: takes a
    sentence that tells why there is no graph; the function is then called as it is.
    """

    def __init__(
        self,
        function: Callable[[Any], dict[str, Tensor]],
        graph: Any,
        recover: Callable[[], None],
        say: Callable[[str], None],
    ):
        self.function, self.graph, self.recover, self.say = function, graph, recover, say
        self.calls, self.replays, self.failed = 0, 0, False
        self.inputs: Any = None
        self.outputs: dict[str, Tensor] | None = None

    def __call__(self, inputs: Any) -> dict[str, Tensor]:
        """The function's result, in tensors that the next call overwrites. inputs: on any device."""
        self._fill(inputs)
        self.calls += 1
        if self.outputs is None and self.calls > WARM_UP and not self.failed:
            try:
                self.outputs = self.graph.record(self.function, self.inputs)
            except RuntimeError as error:  # such as torch's OutOfMemoryError
                self.failed = True
                reason = str(error).strip().split("\n")[0]
                self.say(f"The step is not recorded as a CUDA graph, which makes it slower: {reason}")
            if self.failed:  # outside `except`, which would keep the recording's memory
                self.recover()
        if self.outputs is None:
            return self.graph.run(self.function, self.inputs)
        self.graph.replay()
        self.replays += 1
        return self.outputs

    def _fill(self, inputs: Any) -> None:
        """Copy the inputs to the tensors that the graph reads."""
        if self.inputs is None:
            self.inputs = inputs._make(None if tensor is None else self._own(tensor) for tensor in inputs)
        for own, tensor in zip(self.inputs, inputs, strict=True):
            if own is not None:
                own.copy_(tensor, non_blocking=True)

    def _own(self, tensor: Tensor) -> Tensor:
        layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=self.graph.device, memory_format=layout)
