"""The configs of configs/ go into the package, so that `wav2uti fit --config a_t_64` works where there is no checkout.

Everything else about the package is in pyproject.toml. A checkout, installed with --editable or not at all, has them at
their own place, where `wav2uti.shipped` looks, too.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = sorted(str(path) for path in Path("configs").rglob("*") if path.suffix in (".yaml", ".sh"))


class WithConfigs(build_py):
    """Copies configs/ as wav2uti/configs/ into what becomes the wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in CONFIGS:
                self.copy_into_package(name)

    def copy_into_package(self, name: str) -> None:
        target = Path(self.build_lib) / "wav2uti" / name
        self.mkpath(str(target.parent))
        self.copy_file(name, str(target), preserve_mode=False)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *CONFIGS]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        made = [] if self.editable_mode else [str(Path(self.build_lib) / "wav2uti" / name) for name in CONFIGS]
        return [*super().get_outputs(include_bytecode), *made]


setup(cmdclass={"build_py": WithConfigs})
