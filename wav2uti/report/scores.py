"""How scores are called and rounded, and what the paper printed for them."""

from typing import NamedTuple


class Score(NamedTuple):
    """How a score is shown."""

    heading: str  # with an arrow towards the better
    digits: int  # behind the decimal point
    about: str


SCORES = {
    "rmse": Score("RMSE ↓", 2, "root mean square error, grey levels 0-255, in floating point"),
    "psnr": Score("PSNR ↑", 2, "peak signal-to-noise ratio in dB, in floating point"),
    "ssim": Score("SSIM ↑", 3, "structural similarity"),
    "lpips_squeeze": Score("LPIPS ↓", 4, "learned perceptual distance, SqueezeNet"),
    "lpips_alex": Score("LPIPS Alex ↓", 4, "learned perceptual distance, AlexNet"),
    "lpips_vgg": Score("LPIPS VGG ↓", 4, "learned perceptual distance, VGG"),
    "fid": Score("FID ↓", 2, "Fréchet distance of single frames, Inception-v3"),
    "kid": Score("KID ↓", 4, "kernel distance of single frames, Inception-v3"),
    "fvd": Score("FVD ↓", 1, "Fréchet distance of clips, I3D"),
    "contour_mm": Score("Contour (mm) ↓", 2, "mean distance of the tracked tongue contours"),
    "contour_mm_centred": Score("Contour, centred (mm) ↓", 2, "the same without each side's mean contour"),
    "contour_px": Score("Contour (px) ↓", 2, "mean distance of the tracked tongue contours"),
    "contour_px_centred": Score("Contour, centred (px) ↓", 2, "the same without each side's mean contour"),
    "contour_mm_exact": Score("Contour to truth (mm) ↓", 2, "tracked in generated frames, against the exact contour"),
    "contour_mm_exact_centred": Score("Contour to truth, centred (mm) ↓", 2, "the same without mean contours"),
    "contour_px_exact": Score("Contour to truth (px) ↓", 2, "tracked in generated frames, against the exact contour"),
    "contour_px_exact_centred": Score("Contour to truth, centred (px) ↓", 2, "the same without mean contours"),
    "tongue_height_mm": Score("Tongue height (mm) ↓", 2, "error of the highest point"),
    "tongue_tip_mm": Score("Tongue tip (mm) ↓", 2, "error of the front end"),
    "velocity_correlation": Score("Velocity corr. ↑", 3, "correlation of the contours' velocities"),
    "rmse_uint8_wrapped": Score("RMSE, wrapped ↓", 4, "as published: differences wrap modulo 256"),
    "psnr_uint8_wrapped": Score("PSNR, wrapped ↑", 4, "as published: differences wrap modulo 256"),
}
LEVELS = {
    "fvd_real_halves": Score("FVD, real halves", 1, "level: FVD between halves of the real clips"),
    "fvd_real_halves_clips": Score("clips in such a half", 0, "level: clips in each of these halves"),
}
TRACKED = ("contour", "tongue", "velocity")  # the first word of scores whose reason may stand under "contour"
WRAPPED = ("rmse_uint8_wrapped", "psnr_uint8_wrapped")

# The paper's Tables 1 and 2, by model and side of the square frame.
_PRINTED = {
    ("DNN", 112): (5.8489, 32.8234, 0.3323, 256.80),
    ("A", 64): (5.8114, 32.8734, 0.0972, 80.51),
    ("A", 96): (5.7681, 32.9355, 0.1547, 50.30),
    ("A", 112): (5.6635, 33.1081, 0.1206, 27.81),
    ("A+T", 64): (5.7512, 32.9820, 0.0946, 78.65),
    ("A+T", 96): (5.7025, 33.0411, 0.1195, 37.01),
    ("A+T", 112): (5.6341, 33.1482, 0.1065, 22.02),
}
# Its RMSE and PSNR wrapped, and its "FID with I3D" compares clips: each stands under the name of what it is.
PAPER = {
    place: dict(zip((*WRAPPED, "lpips_squeeze", "fvd"), values, strict=True)) for place, values in _PRINTED.items()
}
PAPER_NOTES = (
    "As printed in the paper, which gives neither intervals nor the number of clips.",
    "The paper's RMSE and PSNR were computed on uint8 arrays whose differences wrap modulo 256, so that an all-black "
    "video scores like a model: they compare with our wrapped scores only.",
    "The paper's LPIPS was computed on wrapped values outside [-1, 1] and printed for the last file only: "
    "it does not compare with ours.",
    "The paper's FID uses I3D, the video network: it is a Fréchet video distance and stands under FVD.",
)


def shown(name: str) -> Score:
    """How a score or level is shown; one that this module does not know goes by its own name."""
    if name in LEVELS:
        return LEVELS[name]
    if name.endswith("_of_real"):
        base = SCORES.get(name.removesuffix("_of_real"))
        heading = base.heading.rstrip(" ↓↑") if base else name
        return Score(f"{heading}, tracker on real", 2, "level: the tracker's own error on the real frames")
    return SCORES.get(name, Score(name, 4, name.replace("_", " ")))
