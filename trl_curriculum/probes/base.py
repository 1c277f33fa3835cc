"""What a curriculum may have measured on purpose before it draws."""

from dataclasses import dataclass

from ..registry import Method, Registry, option


@dataclass(frozen=True)
class Probe(Method):
    """A measurement with its options; which one it is follows from what the curriculum asks for."""

    batch_tokens: int = option(
        16384, "Tokens, padding included, of one batch that is measured.", least=1, kw_only=True
    )


PROBES: Registry[Probe] = Registry("probe", Probe, "trl_curriculum.probes")


@PROBES.add("loss")
@dataclass(frozen=True)
class RowLoss(Probe):
    """The loss of each row: of what SFT trains on; in GRPO of the reference answers in `answer_column`."""
