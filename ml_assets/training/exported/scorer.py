"""An exported network as its users see it: rows in, outputs out. No torch is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.encoder import Encoder, Floats
from ml_assets.training.encoding.stored import stored
from ml_assets.training.scored import Parts

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LOGITS = "logits"
FORM, FILE = "onnx", "network.onnx"
AT_ONCE = 1024
"""Rows that are scored together: a layer's values stay in the processor's cache."""
FEWEST = 2
"""Rows at least: of a single one, ONNX Runtime multiplies matrices in another order."""


@dataclass(frozen=True, kw_only=True)
class OnnxScorer:
    """Scores rows of texts and numbers; made by `fit_network`, stored and loaded by `artifact`.

    target: what it was trained to predict; scale: of the labels that it was trained on
    network: the ONNX file; parameters: how many numbers were learnt
    """

    target: Target
    scale: Scale
    encoder: Encoder
    network: bytes
    parameters: int

    @property
    def texts(self) -> tuple[str, ...]:
        """The text and category columns that are read, each once."""
        return self.encoder.texts

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The D columns of `dense`, in order."""
        return self.encoder.feature_names

    def rescaled(self, scale: Scale) -> OnnxScorer:
        """The same with another scale."""
        return replace(self, scale=scale)

    @property
    def parts(self) -> Parts:
        """All that is stored of it."""
        about, tensors = stored(self.encoder)
        return Parts(form=FORM, tensors=tensors, files={FILE: self.network},
                     about={"encoder": msgspec.to_builtins(about), "parameters": self.parameters})

    @cached_property
    def problem(self) -> str | None:
        """Why the file cannot be scored with; None if nothing speaks against it."""
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        try:
            read = self._read
        except (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented,
                errors.InvalidArgument, errors.RuntimeException) as error:
            return f"{FILE} is no network that ONNX Runtime can score: {error}"
        made = self.encoder.shapes(self.target.logits).names
        unknown = [name for name in read if name not in made]
        return f"{FILE} reads {unknown}, which its encoder does not make" if unknown else None

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: Floats
    ) -> npt.NDArray[np.float64]:
        """What `target.outputs` names, (B, W), for B rows of texts by column and dense (B, D).

        Missing numbers are NaN, missing categories empty. Each row goes through the same
        operations in the same order whatever the others are: one thread, at least `FEWEST` rows.
        """
        rows = len(dense)
        if 0 < rows <= AT_ONCE:
            logits_BK = self.logits(self.encoder(texts, dense), rows).astype(np.float64)
            return self._outputs(logits_BK, dense)
        logits_BK = np.empty((rows, self.target.logits))
        for start in range(0, rows, AT_ONCE):
            some = slice(start, start + AT_ONCE)
            part = {name: texts[name][some] for name in self.encoder.texts}
            logits_BK[some] = self.logits(self.encoder(part, dense[some]), len(dense[some]))
        return self._outputs(logits_BK, dense)

    def _outputs(
        self, logits_BK: npt.NDArray[np.float64], dense: Floats
    ) -> npt.NDArray[np.float64]:
        return self.target.outputs_of(logits_BK, self.scale, self.feature_names, dense)

    def logits(self, arrays: Mapping[str, npt.NDArray[Any]], rows: int) -> Floats:
        """(B, K) of the encoder's arrays of B rows, at least one."""
        if rows < FEWEST:
            arrays = {name: values.repeat(FEWEST, axis=0) for name, values in arrays.items()}
        [logits_BK] = self._session.run(None, {name: arrays[name] for name in self._read})
        found: Floats = logits_BK[:rows]
        return found

    @cached_property
    def _read(self) -> tuple[str, ...]:
        return tuple(each.name for each in self._session.get_inputs())

    @cached_property
    def _session(self) -> InferenceSession:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # An answer's bits must not depend on how many threads share the work, and the API's own
        # workers are its parallelism.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            self.network, options, providers=["CPUExecutionProvider"])
