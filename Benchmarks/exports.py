"""What the peers need of a checkpoint, each in its own format, and the pictures' tensors.

    exports.py random ARCHITECTURE FOLDER     a seeded random checkpoint; prints its path
    exports.py model CHECKPOINT FOLDER        everything that is made of the checkpoint
    exports.py tensors SIDE TARGET PHOTO...   upstream's preprocessing, fp32, [photos, 3, side, side]
    exports.py rows COUNT DIMENSION           a table of random rows in PG_SERVICE_URI

A file appears under its name when it is complete.
"""

import os
import pathlib
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
from openai_clip import clip, make_checkpoints


class Vision(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model.encode_image(pixels)


class Text(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens):
        return self.model.encode_text(tokens)


def once(path, make):
    """Makes a file unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part." + path.name)
    make(part)
    part.rename(path)
    print(f"bench: made {path.name}", file=sys.stderr, flush=True)


def export_onnx(module, example, name, path):
    # The exporter that traces: its graphs are what the packages' users have.
    torch.onnx.export(
        module, example, str(path), input_names=[name], output_names=["embeddings"],
        dynamic_axes={name: {0: "n"}, "embeddings": {0: "n"}}, opset_version=17, dynamo=False)


def quantize(source, path):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_name("prepared." + path.name)
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    # The patch embedding stays a convolution in fp32: ONNX Runtime has no fast one for int8.
    quantize_dynamic(
        str(prepared), str(path), op_types_to_quantize=["MatMul", "Gemm"], per_channel=True,
        weight_type=QuantType.QInt8)
    prepared.unlink()


def tower_as_transformers(state, tower):
    """One tower's tensors under the names that Hugging Face's transformers gives them."""
    ours, theirs = ("visual.", "vision_model.") if tower == "vision" else ("", "text_model.")
    tensors = {}
    for key, value in state.items():
        if not key.startswith(ours + "transformer.resblocks."):
            continue
        layer, rest = key.removeprefix(ours + "transformer.resblocks.").split(".", 1)
        block = f"{theirs}encoder.layers.{layer}."
        if rest.startswith("attn.in_proj_"):
            kind = rest.removeprefix("attn.in_proj_")
            for name, part in zip("qkv", value.chunk(3)):
                tensors[f"{block}self_attn.{name}_proj.{kind}"] = part
            continue
        for old, new in (
            ("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"),
            ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
        ):
            if rest.startswith(old + "."):
                tensors[block + new + rest.removeprefix(old)] = value
    if tower == "vision":
        single = {
            "visual.class_embedding": "embeddings.class_embedding",
            "visual.conv1.weight": "embeddings.patch_embedding.weight",
            "visual.positional_embedding": "embeddings.position_embedding.weight",
            "visual.ln_pre.weight": "pre_layrnorm.weight", "visual.ln_pre.bias": "pre_layrnorm.bias",
            "visual.ln_post.weight": "post_layernorm.weight",
            "visual.ln_post.bias": "post_layernorm.bias",
        }
        tensors["visual_projection.weight"] = state["visual.proj"].T
    else:
        single = {
            "token_embedding.weight": "embeddings.token_embedding.weight",
            "positional_embedding": "embeddings.position_embedding.weight",
            "ln_final.weight": "final_layer_norm.weight", "ln_final.bias": "final_layer_norm.bias",
        }
        tensors["text_projection.weight"] = state["text_projection"].T
    for old, new in single.items():
        tensors[theirs + new] = state[old]
    return {name: value.float().contiguous() for name, value in tensors.items()}


def write_safetensors(model, path):
    from safetensors.torch import save_file

    save_file(tower_as_transformers(model.state_dict(), "vision"), str(path))


# What clip.cpp's converter makes of the names that transformers gives.
GGUF_NAMES = (
    ("text_model", "t"), ("vision_model", "v"), ("encoder.layers", "blk"), ("embeddings.", ""),
    ("_proj", ""), ("self_attn.", "attn_"), ("layer_norm", "ln"), ("layernorm", "ln"),
    ("layrnorm", "ln"), ("mlp.fc1", "ffn_down"), ("mlp.fc2", "ffn_up"), ("embedding", "embd"),
    ("final", "post"),
)


def write_gguf(model, path):
    import gguf

    state, visual = model.state_dict(), model.visual
    writer = gguf.GGUFWriter(str(path), "clip")
    writer.add_bool("clip.has_text_encoder", True)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_file_type(1)
    writer.add_name("checkpoint")
    writer.add_description("two-tower CLIP model")
    for tower, width, layers in (
        ("text", state["ln_final.weight"].shape[0], model.transformer.layers),
        ("vision", visual.conv1.weight.shape[0], visual.transformer.layers),
    ):
        writer.add_uint32(f"clip.{tower}.embedding_length", width)
        writer.add_uint32(f"clip.{tower}.feed_forward_length", 4 * width)
        writer.add_uint32(f"clip.{tower}.projection_dim", state["text_projection"].shape[1])
        writer.add_uint32(f"clip.{tower}.attention.head_count", width // 64)
        writer.add_float32(f"clip.{tower}.attention.layer_norm_epsilon", 1e-5)
        writer.add_uint32(f"clip.{tower}.block_count", layers)
    writer.add_uint32("clip.text.context_length", model.context_length)
    writer.add_uint32("clip.vision.image_size", visual.input_resolution)
    writer.add_uint32("clip.vision.patch_size", visual.conv1.kernel_size[0])
    normalize = clip.clip._transform(visual.input_resolution).transforms[-1]
    writer.add_array("clip.vision.image_mean", [float(value) for value in normalize.mean])
    writer.add_array("clip.vision.image_std", [float(value) for value in normalize.std])
    writer.add_bool("clip.use_gelu", False)
    encoder = clip.simple_tokenizer.SimpleTokenizer().encoder
    writer.add_token_list(sorted(encoder, key=encoder.get))
    for tower in ("text", "vision"):
        for name, value in tower_as_transformers(state, tower).items():
            if "projection" not in name:
                for old, new in GGUF_NAMES:
                    name = name.replace(old, new)
            array = value.squeeze().numpy()
            is_matrix = name.endswith(".weight") and array.ndim >= 2
            writer.add_tensor(name, array.astype(np.float16 if is_matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open(path, "r+b") as file:
        # Version 3 differs from 2 only in allowing big-endian files, but clip.cpp is older than it.
        file.seek(4)
        file.write((2).to_bytes(4, "little"))


def export_model(checkpoint, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model, _ = clip.load(checkpoint, device="cpu", jit=False)
    model.eval()
    side = model.visual.input_resolution
    with torch.no_grad():
        once(folder / "vision.fp32.onnx", lambda path: export_onnx(
            Vision(model), torch.zeros(2, 3, side, side), "pixels", path))
        once(folder / "text.fp32.onnx", lambda path: export_onnx(
            Text(model), clip.tokenize(["a", "b"]), "tokens", path))
        for tower in ("vision", "text"):
            once(folder / f"{tower}.int8.onnx", lambda path, tower=tower: quantize(
                folder / f"{tower}.fp32.onnx", path))
        once(folder / "clip.gguf", lambda path: write_gguf(model, path))
        # Where the package looks for what it would download.
        once(
            folder / "faster-clip/sentence-transformers__clip-ViT-B-32/0_CLIPModel/model.safetensors",
            lambda path: write_safetensors(model, path))
    print(side, state_dimension(model))


def state_dimension(model):
    return model.text_projection.shape[1]


def export_tensors(side, target, photos):
    from PIL import Image

    transform = clip.clip._transform(side)
    pixels = torch.stack([transform(Image.open(photo)) for photo in photos])
    part = target.with_name("part." + target.name)
    pixels.numpy().tofile(part)
    part.rename(target)


def make_rows(count, dimension):
    import psycopg

    random = np.random.default_rng(7)
    with psycopg.connect(os.environ["PG_SERVICE_URI"], autocommit=True) as connection:
        if connection.execute("SELECT count(*) FROM pictures").fetchone()[0] == count:
            return
        connection.execute("TRUNCATE pictures")
        with connection.cursor().copy("COPY pictures (filename, embedding) FROM STDIN") as copy:
            for index in range(count):
                vector = random.standard_normal(dimension)
                vector /= np.linalg.norm(vector)
                text = "[" + ",".join(f"{value:.7g}" for value in vector) + "]"
                copy.write_row((f"photo-{index:05}.jpg", text))
        connection.execute("ANALYZE pictures")


def main(task, *arguments):
    if task == "random":
        print(make_checkpoints(arguments[0], arguments[1])[0])
    elif task == "model":
        export_model(arguments[0], pathlib.Path(arguments[1]))
    elif task == "tensors":
        export_tensors(int(arguments[0]), pathlib.Path(arguments[1]), arguments[2:])
    elif task == "rows":
        make_rows(int(arguments[0]), int(arguments[1]))
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
