"""Makes OpenAI's package importable beside any torchvision.

Its preprocessing imports torchvision, whose wheels refuse a torch that they were not built for when
they register their operators; only its Pillow transforms are needed, so those registrations are skipped.
"""

import torch

_register = torch.library.register_fake


def _skipping(op, func=None, /, **options):
    if isinstance(op, str) and op.startswith("torchvision::"):
        return (lambda function: function) if func is None else func
    return _register(op, **options) if func is None else _register(op, func, **options)


torch.library.register_fake = _skipping
