"""What all tests share."""

import os
from pathlib import Path

import pytest

# Before torch is imported anywhere: the tests are many small tensors, and no test may ask a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real recordings, speech and weights beside the checkout; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return SHARED
