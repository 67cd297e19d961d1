"""Makes OpenAI's package importable beside any torchvision; see tools/openai_clip.py."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import openai_clip  # noqa: E402, F401
