"""wav2uti: speech to ultrasound tongue imaging video."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wav2uti.video.predictor import load

__all__ = ["load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`wav2uti.load` is imported when it is asked for: torch takes seconds, which `wav2uti --help` need not wait."""
    if name == "load":
        from wav2uti.video.predictor import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
