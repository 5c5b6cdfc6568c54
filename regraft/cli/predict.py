"""`regraft predict`: recognise photos with a downloaded bundle, by the bundle's own predict.py.

May import typer and the client; onnxruntime, numpy and Pillow come in with the bundle's code.
"""

import importlib.util
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from regraft.cli import answers
from regraft.cli.failures import REFUSED
from regraft.cli.session import Json, show
from regraft.client import InvalidInput

_NEEDED = ("predict.py", "model.onnx", "labels.json", "preprocess.json")
_INSTALL = "pip install onnxruntime numpy pillow"


def predict(
    bundle: Annotated[Path, typer.Argument(help="bundle.zip, or the folder it unpacks to.")],
    images: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    top: Annotated[int, typer.Option(min=1, help="How many labels to show for each.")] = 3,
    as_json: Json = False,
) -> None:
    """Recognise photos with a bundle alone: no service, no network."""
    with _unpacked(bundle) as folder:
        code = _load(folder / "predict.py")
        try:
            predictor = code.Predictor(folder)
        except Exception as error:  # the runtime's errors have no common base
            raise InvalidInput(f"{bundle} holds no model that can be loaded: {error}") from error
        results = [_result(predictor, path, top) for path in code.find_images(images)]
    if not results:
        raise InvalidInput("there is no image in what was given")
    answer = {"object": "prediction", "model": str(bundle), "results": results}
    show(answer, answers.predictions(results), as_json=as_json)
    if any(result["error"] for result in results):
        raise typer.Exit(REFUSED)


def _result(predictor: Any, path: Path, top: int) -> dict[str, Any]:
    """Return one row of the answer; a photo that cannot be read costs only itself."""
    unknown: dict[str, Any] = {"label": None, "probability": None, "abstained": True, "top": []}
    try:
        answer = predictor.answer([path.read_bytes()], top)[0]
    except (OSError, ValueError) as error:
        return {"image": str(path), **unknown, "error": str(error)}
    return {"image": str(path), **answer, "error": None}


@contextmanager
def _unpacked(bundle: Path) -> Iterator[Path]:
    """Give the bundle as a folder; a zip is unpacked into a temporary one that goes away."""
    if bundle.is_dir():
        yield _complete(bundle, bundle)
        return
    if not zipfile.is_zipfile(bundle):
        raise InvalidInput(f"{bundle} is neither a bundle.zip nor a folder")
    with tempfile.TemporaryDirectory(prefix="regraft-") as room:
        try:
            with zipfile.ZipFile(bundle) as archive:
                archive.extractall(room)  # drops what would leave the folder
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise InvalidInput(f"{bundle} cannot be unpacked: {error}") from error
        yield _complete(Path(room), bundle)


def _complete(folder: Path, bundle: Path) -> Path:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise InvalidInput(f"{bundle} is no model bundle: it has no {', '.join(missing)}")
    return folder


def _load(path: Path) -> ModuleType:
    """Import the bundle's code under a name of its own, leaving nothing beside it."""
    spec = importlib.util.spec_from_file_location("regraft_bundle_predict", path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise InvalidInput(f"predicting needs {error.name or error}: {_INSTALL}") from error
    finally:
        sys.dont_write_bytecode = writes
    return module
