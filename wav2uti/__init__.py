"""wav2uti: speech to ultrasound tongue imaging video."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wav2uti.video.predictor import load

    __version__: str

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`wav2uti.load` is imported when it is asked for: torch takes seconds, which `wav2uti --help` need not wait.

    The version is that of the installation, which got it from the git tags; an editable one keeps that of its day.
    """
    if name == "load":
        from wav2uti.video.predictor import load

        return load
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("wav2uti")
        except PackageNotFoundError:
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
