from dataclasses import dataclass

import numpy as np
import torch

from .base import SELECTION, Selector
from .features import Features, Selection, keep_top


@SELECTION.add("attribution", paper="arXiv 2402.04333")
@dataclass(frozen=True)
class Attribution(Selector):
    r"""
    LESS: the candidates whose gradient is most aligned with the targets' on average, for the subtask that wants them
    most.

    $$ \text{score}(i) = \max_{\text{subtask } s}\; \operatorname{mean}_{j \in s} \langle x_i, y_j \rangle $$

    With one subtask that is matching the targets' centroid.

    Source: Xia et al. 2024, arXiv 2402.04333, and its code. Several checkpoints are averaged by concatenating their
    features, each scaled by the square root of its learning rate's share.
    """

    def choose(self, features: Features, k: int) -> Selection:
        task = features.task if features.task is not None else np.zeros(len(features.targets), int)
        centres = torch.stack(
            [features.targets[torch.as_tensor(task == s)].float().mean(dim=0) for s in np.unique(task)], dim=1
        )
        parts = [part.float() @ centres for part in features.candidates.split(1 << 16)]
        score = torch.cat(parts).max(dim=1).values.double().cpu().numpy()
        return Selection(keep_top(score, k), score, {})
