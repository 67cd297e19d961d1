#!/usr/bin/env python3
"""Draw samples/pictures with samples/labels.json and samples/queries.json, the same ones every time.

    python make_pictures.py [--out samples] [--count 300]
"""

import argparse
import json
import pathlib
import random

import numpy as np
import skia
from PIL import Image

import heldback
import queries
import scenes
from places import OUTDOORS
from things import FOOD, SHAPE, THINGS, VEHICLE

SHAPES = ((480, 480), (560, 420), (420, 560), (600, 400), (400, 600), (640, 360), (512, 384), (360, 480))
EACH = 4  # right pictures that every published query has at least
PNG_EVERY = 15  # the others are JPEG
USUAL = {"fish": ("sea",), "whale": ("sea",), "boat": ("sea",), "duck": ("sea", "grass"), "turtle": ("sea", "grass"),
         "penguin": ("snow",), "snowman": ("snow",), "pine tree": ("snow", "grass"), "cactus": ("desert",),
         "palm tree": ("desert", "sea"), "snake": ("desert", "grass"), "astronaut": ("space",),
         "planet": ("space",), "ufo": ("space", "sky"), "rocket": ("space", "sky"), "star": ("space", "sky"),
         "airplane": ("sky",), "helicopter": ("sky", "sea"), "hot air balloon": ("sky", "grass"),
         "kite": ("sky", "grass"), "sun": ("sky", "sea", "desert"), "moon": ("sky", "sea", "snow"),
         "cloud": ("sky", "grass"), "rain": ("sky", "street"), "lightning": ("sky", "sea"),
         "rainbow": ("sky", "grass", "sea"), "butterfly": ("grass", "sky"), "bird": ("sky", "grass"),
         "owl": ("grass", "snow"), "lighthouse": ("sea", "grass"), "skyscraper": ("street",),
         "castle": ("grass", "snow"), "windmill": ("grass",), "tree": ("grass", "snow"), "flower": ("grass", "room"),
         "chair": ("room",), "book": ("room",), "clock": ("room",), "guitar": ("room", "street"),
         "gift": ("room", "snow"), "cup": ("room",), "bicycle": ("street", "grass"), "robot": ("street", "room", "space"),
         "elephant": ("grass", "desert"), "train": ("grass", "snow", "desert")}


def usual_places(thing):
    kinds = THINGS[thing].kinds
    if thing in USUAL:
        return USUAL[thing]
    if FOOD in kinds:
        return ("room", "plain")
    if SHAPE in kinds:
        return ("plain", "space", "sky")
    return ("street", "street", "desert", "snow") if VEHICLE in kinds else ("grass", "grass", "room", "street", "desert")


def answers(scene, right):
    return queries.is_right(scene.label(), right)


def scene_for(right, lacking, r):
    """A scene that answers a query and, where it can, one more query that still lacks pictures."""
    wanted = dict(right)
    others = [other for other in lacking if other != right and all(
        other.get(key, value) == value for key, value in wanted.items() if key != "night")
        and other.get("thing") == wanted.get("thing", other.get("thing"))]
    if others and r.random() < 0.8:
        wanted |= r.choice(others)
    for attempt in range(500):
        if attempt == 100:
            wanted = dict(right)  # the two did not go together
        thing = wanted.get("thing")
        place = wanted.get("place")
        if thing is None:
            thing = r.choice([name for name in THINGS if place in usual_places(name)])
        if place is None:
            place = r.choice(usual_places(thing)) if r.random() < 0.85 else r.choice(OUTDOORS + ("space", "room"))
        night = wanted.get("night", place in OUTDOORS and r.random() < (0.7 if thing == "moon" else 0.16))
        group = scenes.random_group(r, place, night, thing=thing, colour=wanted.get("colour"), natural=True,
                                    held=heldback.is_held_back(wanted.get("thing"), wanted.get("colour"),
                                                               wanted.get("place")))
        if group is None:
            continue
        if "action" in wanted:
            group.action = wanted["action"]
        elif THINGS[thing].actions and r.random() < 0.5:
            group.action = None
        groups = [group]
        chance = r.random()
        if chance < 0.12 and "action" not in wanted:
            group.count = r.choice((2, 3, 3, 4, 5))
        elif chance < 0.26:
            name = r.choice([name for name in THINGS if place in usual_places(name) and name != thing])
            other = scenes.random_group(r, place, night, thing=name, natural=True)
            if other is not None:
                groups.append(other)
        elif chance < 0.34:
            group.size = r.choice(("small", "big"))
        scene = scenes.Scene(place, night, groups)
        others = [g for g in scene.groups[1:] if heldback.is_held_back(g.thing, g.colour, place)]
        if answers(scene, right) and not others:
            return scene
    raise SystemExit("no scene answers %s" % right)


def chosen_scenes(count, r):
    made = []
    asked = [row["right"] for row in queries.held_back()]
    for right in asked:
        made.append(scene_for(right, [], r))
    order = ("action", "colour", "thing and place", "thing", "place")
    rows = sorted(queries.published(), key=lambda row: order.index(row["group"]))
    have = lambda right: sum(answers(scene, right) for scene in made)
    for row in rows:
        while have(row["right"]) < EACH:
            lacking = [other["right"] for other in rows if have(other["right"]) < EACH]
            made.append(scene_for(row["right"], lacking, r))
    print("%d pictures answer the queries" % len(made))
    names = list(THINGS)
    while len(made) < count:
        rare = min(names, key=lambda name: (sum(g.thing == name for s in made for g in s.groups), r.random()))
        made.append(scene_for({"thing": rare}, [], r))
    r.shuffle(made)
    return made


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--out", type=pathlib.Path, default=pathlib.Path("samples"))
    p.add_argument("--count", type=int, default=300)
    a = p.parse_args()
    r = random.Random("the sample pictures")
    made = chosen_scenes(a.count, r)
    lacking = lambda right, scene: sum(answers(s, right) for s in made) - answers(scene, right) < EACH
    rights = [row["right"] for row in queries.published() + queries.held_back()]
    grey = 0
    for scene in made:  # grey where no query then lacks a picture
        if grey < 14 and not any("colour" in right and answers(scene, right) and lacking(right, scene)
                                 for right in rights) and not any(
                                     heldback.is_held_back(g.thing, g.colour, scene.place) for g in scene.groups):
            if r.random() < 0.2:
                scene.grey = True
                grey += 1
    folder = a.out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("scene-*"):
        old.unlink()
    labels = {}
    for index, scene in enumerate(made, 1):
        width, height = r.choice(SHAPES)
        scale = r.choice((0.8, 1.0, 1.0, 1.2))
        surface = scenes.draw(scene, int(width * scale), int(height * scale), r)
        pixels = surface.toarray(colorType=skia.ColorType.kRGBA_8888_ColorType)[:, :, :3]
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image = image.convert("L") if scene.grey else image
        quality, progressive = r.choice((80, 85, 90)), r.random() < 0.3
        if index % PNG_EVERY == 0:
            key = "scene-%03d.png" % index
            image.save(folder / key, optimize=True)
        else:
            key = "scene-%03d.jpg" % index
            image.save(folder / key, quality=quality, optimize=True, progressive=progressive)
        labels[key] = scene.label()
    lines = ",\n".join(" %s: %s" % (json.dumps(key), json.dumps(label)) for key, label in labels.items())
    (a.out / "labels.json").write_text("{\n%s\n}\n" % lines)
    queries.write(a.out / "queries.json")
    for row in queries.published():
        assert sum(queries.is_right(label, row["right"]) for label in labels.values()) >= EACH, row
    print("%d pictures, %d grey, %.1f MB" % (
        len(labels), grey, sum(path.stat().st_size for path in folder.iterdir()) / 1e6))


if __name__ == "__main__":
    main()
