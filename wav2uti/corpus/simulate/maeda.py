"""Maeda's linear articulatory model: seven parameters -> midsagittal outline -> area function.

The coefficients (S. Maeda, 1979 and 1990, speaker PB) lie beside this file in `maeda.json`, as restated in
maedeep 0.1.3 (B. Elie, CC-BY-4.0). Parameters, in standard deviations: jaw, dorsum position, dorsum shape, apex,
lip height, lip protrusion, larynx.

The tongue is given on 25 lines of a semi-polar grid, line 0 in the pharynx and line 24 behind the teeth, by its
distance from the line's interior point, in units of 0.55 cm. Outlines leave this file in cm with the face to the
right: x forward, y up, origin at the centre of the polar part of the grid (about the middle of the tongue body).
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LINES = 25
PARAMETERS = 7
AREA_FLOOR = 1e-4  # cm^2, so that a closure keeps a finite impedance
AREA_FACTOR = 1.4  # Maeda's correction after width -> area


@dataclass(frozen=True)
class Anatomy:
    """How a speaker's tract differs from Maeda's.

    Attributes:
        scale: size of the whole tract.
        pharynx: additional vertical stretch of everything below the grid's origin.
        palate: doming of the palate in model units, largest at grid line 18.
    """

    scale: float = 1.0
    pharynx: float = 1.0
    palate: float = 0.0


@dataclass(frozen=True)
class _Coefficients:
    """`maeda.json` as arrays; rows as stated in the file."""

    cm: float
    origin: Array
    direction: Array
    interior: Array
    tongue: tuple[Array, Array, Array]
    lips: tuple[Array, Array, Array]
    larynx: tuple[Array, Array, Array]
    incisor: Array
    incisor_to_lip: float
    wall: Array
    alpha: Array
    beta: Array
    vowels: dict[str, Array]


@cache
def coefficients() -> _Coefficients:
    """The figures of `maeda.json`."""
    data = json.loads(files(__package__).joinpath("maeda.json").read_text("utf-8"))

    def linear(name: str) -> tuple[Array, Array, Array]:
        part = data[name]
        return np.array(part["mean"]), np.array(part["std"]), np.array(part["loading"])

    grid, first = data["grid"], data["grid"]["first"] - 1
    return _Coefficients(
        cm=data["cm_per_unit"],
        origin=np.array(grid["origin"]),
        direction=np.array(grid["direction"])[first : first + LINES],
        interior=np.array(grid["interior"])[first : first + LINES],
        tongue=linear("tongue"),
        lips=linear("lips"),
        larynx=linear("larynx"),
        incisor=np.array(data["lips"]["upper_incisor"]),
        incisor_to_lip=data["lips"]["incisor_to_lip"],
        wall=np.array(data["wall"]),
        # The first of the 27 tongue sections lies two lines below the first line of the tongue.
        alpha=np.array(data["sagittal_to_area"]["alpha"])[first - 2 : first + LINES],
        beta=np.array(data["sagittal_to_area"]["beta"])[first - 2 : first + LINES],
        vowels={name: np.array(target) for name, target in data["vowel_targets"]["values"].items()},
    )


def vowel(name: str) -> Array:
    """Parameters of a vowel target, shape (7,); names as in `maeda.json` (v = ü, ih = zi, ir = zhi, @ = schwa)."""
    return coefficients().vowels[name]


def _linear(model: tuple[Array, Array, Array], parameters: Array) -> Array:
    mean, std, loading = model
    return parameters @ (std[:, None] * loading).T + mean


def tongue_position(parameters: Array) -> Array:
    """Distance of the tongue along each grid line, in model units, not yet stopped by the wall; (N, 7) -> (N, 25)."""
    return _linear(coefficients().tongue, parameters[:, :4])[:, 1:]


def wall_position(anatomy: Anatomy) -> Array:
    """Distance of the rear wall and palate along each grid line in model units, shape (25,)."""
    line = np.arange(LINES)
    return coefficients().wall + anatomy.palate * np.exp(-0.5 * ((line - 18) / 3.0) ** 2)


@dataclass(frozen=True)
class Outline:
    """Midsagittal outlines in cm, x forward and y up.

    Attributes:
        inner: larynx, tongue and lower lip, shape (N, 29, 2); points 2..26 are the tongue.
        outer: rear wall, palate and upper lip, shape (N, 29, 2).
        lip_area: opening of the lips in cm^2, shape (N,).
    """

    inner: Array
    outer: Array
    lip_area: Array

    @property
    def tongue(self) -> Array:
        """Tongue surface from the pharynx to the tip, shape (N, 25, 2)."""
        return self.inner[:, 2 : 2 + LINES]


def outline(parameters: Array, tongue: Array, anatomy: Anatomy, lip_closure: Array | None = None) -> Outline:
    """Outline of the tract.

    Args:
        parameters: shape (N, 7).
        tongue: positions along the grid lines, shape (N, 25); stopped at the wall here.
        anatomy: the speaker.
        lip_closure: 0 (as the parameters say) to 1 (closed), shape (N,).
    """
    model = coefficients()
    count = len(parameters)
    wall = wall_position(anatomy)
    inside = model.interior + model.direction * np.minimum(tongue, wall)[..., None]
    outside = np.broadcast_to(model.interior + model.direction * wall[:, None], inside.shape)

    larynx = _linear(model.larynx, parameters[:, [0, 6]])
    front = larynx[:, 1:3] + model.origin
    rear = larynx[:, 3:5] + model.origin

    lips = np.maximum(_linear(model.lips, parameters[:, [0, 4, 5]]), 0.0)
    protrusion, height, width = lips[:, 1], lips[:, 2], lips[:, 3]
    if lip_closure is not None:
        height = height * (1.0 - lip_closure)
    upper = np.broadcast_to(model.incisor + np.array([0.0, model.incisor_to_lip]) + model.origin, (count, 2))
    forward = np.stack([protrusion, np.zeros(count)], axis=1)
    drop = np.stack([np.zeros(count), height], axis=1)

    def whole(first: Array, line: Array, lip: Array) -> Array:
        between = (first + line[:, 0]) / 2
        ends = np.stack([lip, lip - forward], axis=1)
        return np.concatenate([first[:, None], between[:, None], line, ends], axis=1)

    # The larynx's points come as (x, y) of the front edge, then of the rear edge.
    inner = _to_cm(whole(front, inside, upper - drop), anatomy)
    outer = _to_cm(whole(rear, outside, upper), anatomy)
    lip_area = np.pi / 4 * height * width * (model.cm * anatomy.scale) ** 2
    return Outline(inner, outer, lip_area)


def _to_cm(points: Array, anatomy: Anatomy) -> Array:
    """Model units (face to the left) to cm (face to the right), with the speaker's proportions."""
    model = coefficients()
    centred = (points - model.origin) * [-1.0, 1.0] * (model.cm * anatomy.scale)
    centred[..., 1] *= np.where(centred[..., 1] < 0, anatomy.pharynx, 1.0)
    return centred


def area_function(outlines: Outline) -> tuple[Array, Array]:
    """Areas in cm^2 and lengths in cm of 29 sections from glottis to lips, each of shape (N, 29).

    A section is the quadrilateral between two grid lines; its area follows from its mean width by
    alpha * width ** beta (Heinz and Stevens; Maeda's figures).
    """
    inner, outer = outlines.inner[:, :28], outlines.outer[:, :28]
    model = coefficients()

    def cross(first: Array, second: Array) -> Array:
        product: Array = np.abs(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
        return product

    # Surface of the quadrilateral as two triangles that share the diagonal inner[k] - outer[k + 1].
    diagonal = outer[:, 1:] - inner[:, :-1]
    surface = 0.5 * (cross(inner[:, 1:] - inner[:, :-1], diagonal) + cross(outer[:, :-1] - inner[:, :-1], diagonal))
    middle = (inner + outer) / 2
    length = np.maximum(np.linalg.norm(np.diff(middle, axis=1), axis=2), 0.01)
    area = AREA_FACTOR * model.alpha * (surface / length) ** model.beta
    lip_length = np.maximum((outlines.outer[:, 28, 0] - outlines.outer[:, 27, 0]) / 2, 0.01)
    areas = np.concatenate([area, np.repeat(outlines.lip_area[:, None], 2, axis=1)], axis=1)
    lengths = np.concatenate([length, np.repeat(lip_length[:, None], 2, axis=1)], axis=1)
    return np.maximum(areas, AREA_FLOOR), lengths


def equal_sections(areas: Array, lengths: Array, sections: int = 30) -> tuple[Array, Array]:
    """The same tract in sections of equal length: areas (N, sections) in cm^2 and section length (N,) in cm.

    Volume is kept section by section, but for the lips: their area is kept itself, because averaging it with what lies
    behind would raise F2 of rounded vowels (Maeda).
    """
    edges = np.concatenate([np.zeros((len(areas), 1)), np.cumsum(lengths, axis=1)], axis=1)
    volume = np.concatenate([np.zeros((len(areas), 1)), np.cumsum(areas * lengths, axis=1)], axis=1)
    step = edges[:, -1] / sections
    wanted = step[:, None] * np.arange(sections + 1)
    at = np.stack([np.interp(w, e, v) for w, e, v in zip(wanted, edges, volume, strict=True)])
    equal = np.diff(at, axis=1) / step[:, None]
    equal[:, -1] = areas[:, -1]
    return np.maximum(equal, AREA_FLOOR), step
