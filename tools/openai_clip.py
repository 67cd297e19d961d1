"""OpenAI's CLIP (the package clip-anytorch) for the scripts that compare with it.

Importing this makes `import clip` work whatever torchvision is there, and gives random checkpoints of
full size in OpenAI's format, for machines that cannot download the weights.
"""

import pathlib

import torch

# torchvision's wheel may be built for another torch; only its Pillow transforms are needed here.
_register = torch.library.register_fake


def _register_unless_torchvision(op, function=None, /, **options):
    if isinstance(op, str) and op.startswith("torchvision::"):
        return (lambda given: given) if function is None else function
    return _register(op, **options) if function is None else _register(op, function, **options)


torch.library.register_fake = _register_unless_torchvision
import clip  # noqa: E402
from clip.model import CLIP, convert_weights  # noqa: E402

SIZES = {
    # embedding, resolution, vision layers, width, patch, context, vocabulary, text width, heads, layers
    "ViT-B/32": (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12),
    "ViT-B/16": (512, 224, 12, 768, 16, 77, 49408, 512, 8, 12),
    "ViT-L/14": (768, 224, 24, 1024, 14, 77, 49408, 768, 12, 12),
}


def make_checkpoints(architecture, folder, outliers=False):
    """Seeded random weights in OpenAI's container, and the same as a state dict: their paths. With `outliers` six
    features of each layer norm are 8 to 40 times as large, as training makes some; random weights flatter low
    precision."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = architecture.replace("/", "-") + ("-outliers" if outliers else "")
    paths = [folder / f"{name}.pt", folder / f"{name}.state_dict.pt"]
    if all(path.exists() for path in paths):
        return paths
    torch.manual_seed(7)
    sizes = SIZES[architecture]
    model = CLIP(*sizes).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "ln_" in key and key.endswith("weight"):
                weight.mul_(1 + 0.3 * torch.randn_like(weight))
                if outliers:
                    weight[torch.randperm(len(weight))[:6]] *= 8 + 32 * torch.rand(6)
            if key.endswith("bias"):
                weight.add_(0.05 * torch.randn_like(weight))
    convert_weights(model)
    example = (torch.zeros(1, 3, sizes[1], sizes[1]).half(), torch.zeros(1, 77, dtype=torch.int))
    # What is broken off leaves no file that looks whole.
    part = folder / f"{name}.part"
    torch.jit.save(torch.jit.trace(model, example, check_trace=False), str(part))
    part.rename(paths[0])
    torch.save(model.state_dict(), part)
    part.rename(paths[1])
    return paths
