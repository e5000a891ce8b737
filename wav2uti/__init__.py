"""wav2uti: speech to ultrasound tongue imaging video."""

__version__ = "0.1.0"
