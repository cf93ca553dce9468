"""Signed jobs: a producer proves who it is, and speaks only for its own projects."""

from .guard import Guard, open_guard
from .outcome import Noted, Outcome
from .signer import Signer, open_signer, pool_signer
from .statement import SIGNATURE, signature_of

__all__ = [
    "SIGNATURE",
    "Guard",
    "Noted",
    "Outcome",
    "Signer",
    "open_guard",
    "open_signer",
    "pool_signer",
    "signature_of",
]
