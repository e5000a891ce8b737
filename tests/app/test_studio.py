"""What the drawing process does with a job: real models, real files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Run
from PIL import Image

from wav2uti.app.job import Draw, Drawn, Load, Transcribe
from wav2uti.app.studio import Studio
from wav2uti.app.view import waveform
from wav2uti.corpus.shards import Shard
from wav2uti.errors import InputError
from wav2uti.pretrained import EXAMPLE, FOLDER


def nothing(done: int, total: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture(scope="module")
def studio(run: Run) -> Studio:
    return Studio("cpu")


@pytest.fixture
def vowel(tmp_path: Path) -> Path:
    path = tmp_path / "vowel.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 150 * np.arange(4000) / 16_000), 16_000)
    return path


def draw(studio: Studio, model: Path, sound: Path, output: Path, **other: object) -> Drawn:
    done = studio.do(Draw((str(model),), sound, 5.0, output, sound.stem, steps=1, **other), nothing)  # type: ignore[arg-type]
    assert isinstance(done, Drawn)
    return done


def test_a_drawing_has_all_that_the_page_shows(studio: Studio, run: Run, vowel: Path, tmp_path: Path) -> None:
    done = draw(studio, run.checkpoint, vowel, tmp_path / "out")
    view = done.view
    assert (view.frames, view.fps, view.size, view.simulated) == (15, 60, (16, 16), True)
    assert view.videos == {"video": "vowel.mp4"}
    assert Image.open(tmp_path / "out" / view.spectrogram).size == (1600, 160)
    contours = json.loads((tmp_path / "out" / view.contour).read_text())
    with np.load(tmp_path / "out" / done.files["frames"]) as archive:
        seen = [points[np.isfinite(points).all(-1)] for points in archive["contour"]]
    assert list(contours) == ["video"]
    for shown, points in zip(contours["video"], seen, strict=True):
        np.testing.assert_allclose(np.reshape(shown, (-1, 2)), points, atol=0.006)
    assert max(most for most, _ in view.wave) == 100
    assert "The model was trained with text and got none." in done.doubts
    assert len([doubt for doubt in done.doubts if "reference frame of the speaker and got none" in doubt]) == 1


def test_of_several_samples_the_mean_is_shown_too(studio: Studio, run: Run, vowel: Path, tmp_path: Path) -> None:
    done = draw(studio, run.checkpoint, vowel, tmp_path / "out", samples=2, text="a")
    assert list(done.view.videos) == ["video", "spread"]
    assert list(json.loads((tmp_path / "out" / done.view.contour).read_text())) == ["video", "spread"]


def test_a_reference_frame_is_shown_as_the_model_sees_it(studio: Studio, run: Run, vowel: Path, tmp_path: Path) -> None:
    picture = tmp_path / "frame.png"
    Image.fromarray(np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)).save(picture)
    done = draw(studio, run.checkpoint, vowel, tmp_path / "out", reference=picture, text="a")
    assert done.view.reference is not None
    assert Image.open(tmp_path / "out" / done.view.reference).size == (16, 16)
    assert not [doubt for doubt in done.doubts if "got none" in doubt]


def test_a_recording_that_is_too_long_is_refused_before_it_is_drawn(studio: Studio, run: Run, vowel: Path) -> None:
    with pytest.raises(InputError, match=r"longer than 0\.1 s"):
        studio.do(Draw((str(run.checkpoint),), vowel, 0.1, vowel.parent / "out", "vowel"), nothing)
    with pytest.raises(InputError, match="no transcriber"):
        studio.do(Transcribe((str(run.checkpoint),), vowel, 5.0), nothing)
    assert not (vowel.parent / "out").exists()


def test_two_models_stay_loaded_and_a_new_file_is_loaded_anew(studio: Studio, run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.ckpt" for number in range(3)]
    for path in paths:
        shutil.copy(run.checkpoint, path)
        studio.do(Load((str(path),)), nothing)
    assert [key[0] for key in studio._models] == [str(path) for path in paths[1:]]
    before = studio._model((str(paths[2]),))
    assert studio._model((str(paths[2]),)) is before
    paths[2].touch()
    assert studio._model((str(paths[2]),)) is not before


@pytest.mark.slow
def test_the_example_is_drawn_beside_its_own_frames(studio: Studio, tmp_path: Path) -> None:
    shard = Shard(EXAMPLE)
    example = shard.recording(shard.ids[0])
    sound = tmp_path / "example.wav"
    soundfile.write(sound, example.audio, 16_000, subtype="FLOAT")
    done = draw(studio, FOLDER, sound, tmp_path / "out")
    assert list(done.view.videos) == ["video", "truth"]
    assert done.view.reference is not None
    assert not [doubt for doubt in done.doubts if "got none" in doubt]


@pytest.mark.slow
def test_the_shipped_model_takes_its_own_frame_where_none_is_given(studio: Studio, vowel: Path, tmp_path: Path) -> None:
    done = draw(studio, FOLDER, vowel, tmp_path / "out")
    assert done.view.reference is not None
    own = np.asarray(Image.open(FOLDER / "reference.png").convert("L"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / done.view.reference)), own)
    assert not [doubt for doubt in done.doubts if "got none" in doubt]


def test_the_waveform_of_silence_is_flat() -> None:
    assert waveform(np.zeros(1000, np.float32), 10) == [(0, 0)] * 10
