"""What the scripts that make pictures share: upstream's preprocessing, and writing pictures and answers."""
import json, pathlib, sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[4] / "tools"))
import openai_clip  # noqa: E402, F401
from clip.clip import _transform  # noqa: E402
from torchvision.transforms import Compose  # noqa: E402


def to_bytes_at(resolution):
    """Upstream's transform up to the picture of `resolution` squared, before ToTensor."""
    return Compose(_transform(resolution).transforms[:3])


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix not in (".py", ".json") and path.is_file())


def replace_pictures(folder, made):
    """Writes the pictures (name to bytes) in the place of those that are there."""
    for name in names(folder):
        (folder / name).unlink()
    for name, data in made.items():
        (folder / name).write_bytes(data)


def write_answers(folder, rows):
    """golden.json, one answer a line."""
    lines = [json.dumps(row, separators=(",", ":")) for row in rows]
    (folder / "golden.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(rows), "answers")
