"""The configs that come with the package."""

from pathlib import Path


def shipped_configs() -> dict[str, Path]:
    """The configs that come with the package, by their names: `a_t_64`, `trainer/cpu`."""
    package = Path(__file__).parent
    # A wheel has them inside; a checkout has them beside the package.
    folder = next((f for f in (package / "configs", package.parent / "configs") if (f / "debug.yaml").is_file()), None)
    if folder is None:
        return {}
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
