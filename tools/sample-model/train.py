#!/usr/bin/env python3
"""Train the sample model from nothing on pictures drawn for each step; resume after an interruption.

    python train.py --work DIR [--steps N] [--minutes M] [--out samples/model/sample-clip.pt]

DIR keeps `checkpoint.pt` (written every few minutes) and `log.txt`. Steps past `--decay-from` lower the
learning rate to nothing, so that a run can be prolonged from `stable.pt`, which is kept at that step:
delete checkpoint.pt, give more --steps, and it continues from there. What is written at the end is the mean of
the weights at several steps near the end, from `--mean-from` on, which is a little better than any of them
(Izmailov et al. 2018, "Averaging weights leads to wider optima").
"""

import argparse
import math
import os
import pathlib
import random
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # leave the cores to the drawing processes
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F

import upstream  # noqa: F401  (before clip)
from clip.model import CLIP

import batches
import captions
import scenes

SIZES = dict(embed_dim=512, image_resolution=80, vision_layers=5, vision_width=192, vision_patch_size=16,
             context_length=77, vocab_size=49408, transformer_width=128, transformer_heads=2,
             transformer_layers=2)
MEAN_EVERY = 50  # steps
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


# Upstream's forward pass on upstream's parameters, in fewer passes over memory (checked in `main`)

def _block(block, x, heads, causal):
    n, t, d = x.shape
    y = F.layer_norm(x, (d,), block.ln_1.weight, block.ln_1.bias)
    q, k, v = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias) \
        .view(n, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(2, 3) * (d // heads) ** -0.5  # few tokens: plain products are the fastest
    if causal:
        scores = scores + torch.full((t, t), float("-inf"), dtype=scores.dtype).triu(1)
    y = scores.softmax(3).to(v.dtype) @ v
    x = x + block.attn.out_proj(y.transpose(1, 2).reshape(n, t, d))
    y = F.layer_norm(x, (d,), block.ln_2.weight, block.ln_2.bias)
    y = F.linear(y, block.mlp.c_fc.weight, block.mlp.c_fc.bias)
    return x + F.linear(y * torch.sigmoid(1.702 * y), block.mlp.c_proj.weight, block.mlp.c_proj.bias)


def encode_pictures(visual, pictures):
    """(n, 3, r, r) to (n, 512), not normalised."""
    d = visual.class_embedding.shape[0]
    x = visual.conv1(pictures).flatten(2).transpose(1, 2) + visual.positional_embedding[1:]
    first = (visual.class_embedding + visual.positional_embedding[0]).expand(x.shape[0], 1, d)
    x = F.layer_norm(torch.cat([first.to(x.dtype), x], 1), (d,), visual.ln_pre.weight, visual.ln_pre.bias)
    for block in visual.transformer.resblocks:
        x = _block(block, x, d // 64, False)
    return F.layer_norm(x[:, 0], (d,), visual.ln_post.weight, visual.ln_post.bias) @ visual.proj


def encode_texts(model, table, ids, ends):
    """Token numbers (n, t) and the place of each end token to (n, 512), not normalised."""
    d = table.shape[1]
    x = F.embedding(ids, table, padding_idx=0) + model.positional_embedding[:ids.shape[1]]
    for block in model.transformer.resblocks:
        x = _block(block, x, d // 64, True)
    x = x[torch.arange(len(ids)), ends]
    return F.layer_norm(x, (d,), model.ln_final.weight, model.ln_final.bias) @ model.text_projection


def contrastive(pictures, texts, true, scale):
    """CLIP's symmetric cross-entropy; pairs that are true though not each other's take no part."""
    logits = scale * F.normalize(texts.float(), dim=-1) @ F.normalize(pictures.float(), dim=-1).T
    own = torch.arange(len(logits))
    true = true.clone()
    true[own, own] = False
    logits = logits.masked_fill(true, float("-inf"))
    right = (logits.argmax(1) == own).float().mean(), (logits.argmax(0) == own).float().mean()
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2, right


def to_tensor(pictures):
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def full_table(words, table):
    """CLIP's whole vocabulary: the tokens that captions use, and zeros."""
    full = torch.zeros(SIZES["vocab_size"], table.shape[1])
    full[torch.tensor(words.used)] = table[1:].detach()
    return full


def save_archive(model, words, table, path):
    """OpenAI's container: a traced TorchScript archive, matrices in half precision."""
    from clip.model import convert_weights
    plain = CLIP(**SIZES).eval()
    plain.load_state_dict(model.state_dict() | {"token_embedding.weight": full_table(words, table)})
    convert_weights(plain)
    plain.token_embedding.half()
    side = SIZES["image_resolution"]
    traced = torch.jit.trace(plain, (torch.zeros(1, 3, side, side).half(), torch.zeros(1, 77, dtype=torch.int)),
                             check_trace=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.save(traced, str(path))


class Check:
    """How often a name finds its picture among 75 kinds, on pictures that training never draws."""

    def __init__(self, words):
        r = random.Random(-1)
        self.names = list(scenes.THING_NAMES)
        drawn = []
        while len(drawn) < 300:
            scene = scenes.random_scene(r, even=True)
            if len(scene.groups) == 1 and not scene.grey:
                drawn.append(scene)
        self.pictures = to_tensor(np.stack([batches.picture(scene, SIZES["image_resolution"], r) for scene in drawn]))
        self.sets = {
            "thing": (self.names, [scene.groups[0].thing for scene in drawn]),
            "place": (["sky", "night sky", "sea", "grass", "desert", "snow", "outer space", "street", "room"],
                      ["night sky" if scene.place == "sky" and scene.night else
                       {"space": "outer space"}.get(scene.place, scene.place) for scene in drawn]),
            "colour": (list(scenes.COLOUR_NAMES), [scene.groups[0].colour for scene in drawn]),
        }
        self.words = words

    def texts(self, texts):
        rows = [self.words.numbers(text) for text in texts]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = torch.tensor(row)
        return ids, torch.tensor([len(row) - 1 for row in rows])

    @torch.no_grad()
    def run(self, model, table):
        features = F.normalize(encode_pictures(model.visual, self.pictures), dim=-1)
        said = []
        for name, (choices, answers) in self.sets.items():
            found = features @ F.normalize(encode_texts(model, table, *self.texts(choices)), dim=-1).T
            pairs = [(choices[i], answer) for i, answer in zip(found.argmax(1).tolist(), answers) if answer in choices]
            said.append("%s %.3f" % (name, sum(a == b for a, b in pairs) / len(pairs)))
        return ", ".join(said)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--out", type=pathlib.Path, default=pathlib.Path("samples/model/sample-clip.pt"))
    p.add_argument("--steps", type=int, default=5800)
    p.add_argument("--decay-from", type=float, default=0.7, help="share of the steps")
    p.add_argument("--mean-from", type=float, default=0.93, help="share of the steps")
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--rate", type=float, default=1.2e-3)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--minutes", type=float, default=0, help="stop after so long, to be resumed")
    p.add_argument("--compile", action="store_true", help="let torch compile the towers (needs a C++ compiler)")
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    kept, stable, log = a.work / "checkpoint.pt", a.work / "stable.pt", a.work / "log.txt"
    start = kept if kept.exists() else stable if stable.exists() else None
    state = torch.load(start, weights_only=True) if start else None

    words = batches.Words(state["used"] if state else None)
    model = CLIP(**SIZES)
    table = torch.nn.Parameter(torch.randn(len(words.used) + 1, SIZES["transformer_width"]) * 0.02)
    table.data[0] = 0
    del model.token_embedding.weight
    model.token_embedding.weight = None
    weights = {**dict(model.named_parameters()), "table": table}
    wide = [w for w in weights.values() if w.ndim >= 2]
    narrow = [w for w in weights.values() if w.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": wide, "weight_decay": 0.05}, {"params": narrow, "weight_decay": 0.0}],
                                  lr=a.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
    done, spent = 0, 0.0
    mean, added = {name: torch.zeros_like(weight) for name, weight in weights.items()}, 0
    if state:
        if "mean" in state:
            mean, added = state["mean"], state["added"]
        for name, weight in weights.items():
            weight.data.copy_(state["weights"][name])
        optimizer.load_state_dict(state["optimizer"])
        done, spent = state["step"], state["spent"]

    def say(line):
        print(line, flush=True)
        with log.open("a") as file:
            print(line, file=file)

    def keep(path, step):
        torch.save({"weights": {name: weight.data for name, weight in weights.items()}, "step": step,
                    "optimizer": optimizer.state_dict(), "used": words.used,
                    "mean": mean, "added": added, "spent": spent + time.time() - began}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def rate(step):
        turn = a.decay_from * a.steps
        if step < turn:
            return a.rate * min(1, (step + 1) / 200)
        return a.rate * max(0.01, (1 + math.cos(math.pi * (step - turn) / (a.steps - turn))) / 2)

    pictures_of, texts_of = encode_pictures, encode_texts
    if a.compile:
        pictures_of = torch.compile(encode_pictures)
        texts_of = torch.compile(encode_texts, dynamic=True)
    check = Check(words)
    began = last_kept = time.time()
    say("%s at step %d of %d, %d tokens in use, %.1f million weights" % (
        "resuming" if state else "starting", done, a.steps, len(words.used),
        sum(w.numel() for w in weights.values()) / 1e6))
    turn = int(a.decay_from * a.steps)
    sums, seen = np.zeros(5), 0
    for step, (pictures, texts) in zip(range(done, a.steps), batches.stream(
            done, a.steps, a.seed, a.batch, SIZES["image_resolution"], words)):
        if step == turn:
            keep(stable, step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = pictures_of(model.visual, to_tensor(pictures))
            worded = [texts_of(model, table, torch.from_numpy(ids), torch.from_numpy(ends))
                      for ids, ends, _ in texts]
        scale = model.logit_scale.exp()
        losses = [contrastive(features, text, torch.from_numpy(true), scale)
                  for text, (_, _, true) in zip(worded, texts)]
        loss = (losses[0][0] + losses[1][0]) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        table.data[0] = 0
        model.logit_scale.data.clamp_(0, math.log(100))
        sums += [loss.item(), losses[0][0].item(), losses[1][0].item(), losses[0][1][1].item(), losses[1][1][1].item()]
        seen += 1
        if (step + 1) % 50 == 0 or step + 1 == a.steps:
            mean = sums / seen
            tail = " | " + check.run(model, table) if (step + 1) % 200 == 0 or step + 1 == a.steps else ""
            say("%6d  %5.1f min  loss %.3f (short %.3f, long %.3f)  top-1 short %.3f, long %.3f  scale %.1f%s" % (
                step + 1, (spent + time.time() - began) / 60, *mean, scale.item(), tail))
            sums, seen = np.zeros(5), 0
        if step + 1 == a.steps or step >= a.mean_from * a.steps and (step + 1) % MEAN_EVERY == 0:
            added += 1
            for name, weight in weights.items():
                mean[name] += (weight.data - mean[name]) / added
        over = a.minutes and time.time() - began > a.minutes * 60
        if time.time() - last_kept > 120 or over or step + 1 == a.steps:
            keep(kept, step + 1)
            last_kept = time.time()
        if over:
            say("stopping at step %d; the same command continues" % (step + 1))
            break
    save_archive_from(mean if added else {name: weight.data for name, weight in weights.items()}, words, a.out)
    say("written %s" % a.out)


def save_archive_from(weights, words, path):
    model = CLIP(**SIZES)
    model.load_state_dict({name: weight for name, weight in weights.items() if name != "table"}, strict=False)
    save_archive(model, words, weights["table"], path)


if __name__ == "__main__":
    main()
