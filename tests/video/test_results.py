"""What `wav2uti predict` writes while the frames come: the same as of all at once, and all of it or nothing."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from wav2uti.clock import samples_at
from wav2uti.corpus.simulate.corpus import simulate_recording
from wav2uti.errors import InputError
from wav2uti.metrics.contour import track
from wav2uti.metrics.contour_scores import write_contour_csv
from wav2uti.video.results import About, Speech, write_results
from wav2uti.video.sheet import contact_sheet
from wav2uti.video.write import write_mp4

MADE_UP = About("made up")


def cut(frames: NDArray[np.uint8], length: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of one sample (T, H, W), or of several (S, T, H, W), in parts."""
    samples = frames if frames.ndim == 4 else frames[None]
    return (samples[:, start : start + length] for start in range(0, samples.shape[1], length))


def decoded(path: Path) -> tuple[NDArray[np.float64], list[float], list[bytes], dict[str, str]]:
    """Pictures (every 16th pixel), their times, the coded sound and the metadata of an mp4."""
    with av.open(str(path)) as container:
        pictures = [(f.time, f.to_ndarray(format="gray")[::16, ::16].astype(float)) for f in container.decode(video=0)]
        metadata = dict(container.metadata)
    with av.open(str(path)) as container:
        sound = [bytes(packet) for packet in container.demux(audio=0)]
    return np.stack([picture for _, picture in pictures]), [time for time, _ in pictures], sound, metadata


@pytest.fixture(scope="module")
def speech() -> Speech:
    """A simulated recording, longer than a stretch of the tracker."""
    recording = simulate_recording(0, 0, 16, 3)
    repeats = -(-300 // len(recording.frames))
    frames = np.concatenate([recording.frames] * repeats)[:300]
    noise = np.random.default_rng(0).normal(0, 0.1, samples_at(300)).astype(np.float32)
    return Speech("said", noise, "ba", real=frames, simulated=True)


def test_parts_give_the_files_of_all_frames_at_once(speech: Speech, tmp_path: Path) -> None:
    assert speech.real is not None
    drawn = speech.real[:, ::-1, ::-1].copy()
    written = write_results(tmp_path / "parts", speech, cut(drawn, 7), MADE_UP)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {path.name for path in written.values()}
    whole = tmp_path / "whole"
    write_mp4(whole / "said.mp4", drawn, speech.audio, caption="made up")
    write_mp4(whole / "said.truth.mp4", speech.real, speech.audio, caption="SIMULATED, not generated")
    write_contour_csv(whole / "said.csv", track(drawn), 60, source="made up")
    rows = [("simulated", speech.real), ("generated", drawn)]
    contact_sheet(whole / "said.png", rows, speech.audio, title="said: ba (made up)")
    for kind in ("contour", "sheet"):
        assert written[kind].read_bytes() == (whole / written[kind].name).read_bytes(), kind
    for kind in ("video", "truth"):
        one, two = (decoded(path) for path in (written[kind], whole / written[kind].name))
        np.testing.assert_allclose(one[0], two[0], atol=16)  # x264 may code the same picture in two ways
        assert one[1:] == two[1:]
    with np.load(written["frames"], allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["frames"], drawn)
        assert (int(saved["fps"]), str(saved["note"])) == (60, "made up")
        np.testing.assert_array_equal(saved["contour"], track(drawn))
        np.testing.assert_array_equal(saved["times"], np.arange(300) / 60)


def test_picture_and_sound_stay_in_step(tmp_path: Path) -> None:
    """A flash and a click in each second of a recording that came in parts no second long."""
    count = 7 * 60 + 31
    frames = np.zeros((count, 16, 16), np.uint8)
    audio = np.zeros(samples_at(count), np.float32)
    for second in range(7):
        frames[60 * second + 30] = 255
        audio[samples_at(60 * second + 30) :][:16] = 0.9
    written = write_results(tmp_path, Speech("clicks", audio), cut(frames, 11), MADE_UP)
    with av.open(str(written["video"])) as container:
        assert container.streams.video[0].frames == count
        for stream in container.streams:
            assert float(stream.duration * stream.time_base) == pytest.approx(count / 60, abs=1.5e-3)
        flashes = [f.time for f in container.decode(video=0) if f.to_ndarray(format="gray")[:400].mean() > 120]
    with av.open(str(written["video"])) as container:
        pieces = [(piece.time, piece.to_ndarray().ravel()) for piece in container.decode(audio=0)]
    times = np.concatenate([time + np.arange(len(piece)) / 16000 for time, piece in pieces])
    sound = np.abs(np.concatenate([piece for _, piece in pieces]))
    clicks = [times[np.where(np.abs(times - second - 0.5) < 0.4, sound, 0).argmax()] for second in range(7)]
    assert flashes == pytest.approx([second + 0.5 for second in range(7)], abs=1e-6)
    assert clicks == pytest.approx(flashes, abs=2e-3)


@pytest.mark.parametrize("mistake", [KeyboardInterrupt, InputError])
def test_what_was_interrupted_leaves_nothing(speech: Speech, tmp_path: Path, mistake: type[BaseException]) -> None:
    def broken() -> Iterator[NDArray[np.uint8]]:
        assert speech.real is not None
        yield speech.real[None, :130]
        assert list(tmp_path.rglob("*said.mp4*"))  # it is being written
        raise mistake("halfway")

    with pytest.raises(mistake):
        write_results(tmp_path, speech, broken(), MADE_UP)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", ["write_csv", "write_mp4", "contact_sheet"])
def test_a_late_failure_leaves_the_older_results(
    speech: Speech, tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "said.npz").write_text("older")
    monkeypatch.setattr(f"wav2uti.video.results.{broken}", fail)
    assert speech.real is not None
    with pytest.raises(InputError, match="No space left"):
        write_results(tmp_path, speech, cut(speech.real, 50), MADE_UP)
    assert [path.name for path in tmp_path.iterdir()] == ["said.npz"]
    assert (tmp_path / "said.npz").read_text() == "older"


def test_too_few_frames_are_a_mistake(speech: Speech, tmp_path: Path) -> None:
    assert speech.real is not None
    with pytest.raises(ValueError, match="299 frames were added to a file of 300"):
        write_results(tmp_path, speech, cut(speech.real[:299], 100), MADE_UP)
    assert not list(tmp_path.iterdir())


def test_the_folder_is_a_file(speech: Speech, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert speech.real is not None
    with pytest.raises(InputError, match="cannot be written to"):
        write_results(tmp_path / "file", speech, cut(speech.real, 100), MADE_UP)


def test_the_sheet_shows_what_all_frames_would(speech: Speech, tmp_path: Path) -> None:
    """Also where the real video is longer than the drawn one."""
    assert speech.real is not None
    short = Speech("said", speech.audio[: samples_at(200)], real=speech.real)
    written = write_results(tmp_path, short, cut(speech.real[:200], 33), MADE_UP)
    contact_sheet(tmp_path / "whole.png", [("real", speech.real), ("generated", speech.real[:200])],
                  short.audio, title="said:  (made up)")  # fmt: skip
    one, two = (np.asarray(Image.open(path)) for path in (written["sheet"], tmp_path / "whole.png"))
    np.testing.assert_array_equal(one, two)
