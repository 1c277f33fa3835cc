"""What to train on next. One method, one file."""

from .arms import ArmCurriculum
from .baby_steps import BabySteps
from .base import Carried, Curriculum, Draw
from .competence import Competence
from .cyclical import Cyclical
from .data_maps import DataMaps
from .difficulty import DifficultyCurriculum
from .dump import DUMP
from .edco import EDCO
from .evo_curate import EVOCurate
from .loss_top_k import LossTopK
from .mixture import Mixture
from .order import Order
from .parts.estimators import TD, Belief, Estimator, SlidingWindow
from .parts.row_history import RowHistory, percentile_rank
from .parts.row_sampler import RowSampler
from .parts.selectors import Boltzmann, MaxEntropy
from .parts.shared_belief import SharedBelief
from .parts.utilities import Utility, expected_advantage, identity, ucb
from .rows import RowCurriculum
from .sec import SEC
from .self_paced import SelfPaced
from .ucb1 import UCB1
from .uniform import Uniform


__all__ = [
    "DUMP",
    "EDCO",
    "SEC",
    "TD",
    "UCB1",
    "ArmCurriculum",
    "BabySteps",
    "Belief",
    "Boltzmann",
    "Carried",
    "Competence",
    "Curriculum",
    "Cyclical",
    "DataMaps",
    "DifficultyCurriculum",
    "Draw",
    "EVOCurate",
    "Estimator",
    "LossTopK",
    "MaxEntropy",
    "Mixture",
    "Order",
    "RowCurriculum",
    "RowHistory",
    "RowSampler",
    "SelfPaced",
    "SharedBelief",
    "SlidingWindow",
    "Uniform",
    "Utility",
    "expected_advantage",
    "identity",
    "percentile_rank",
    "ucb",
]
