"""What is in a picture, chosen at random, and the drawing of it."""

import dataclasses

import skia

import heldback
from pen import COLOURS, Pen
from places import BACKGROUNDS, CLASHES, GROUND, OUTDOORS, waves_before
from things import THINGS

COLOUR_NAMES = tuple(COLOURS)
THING_NAMES = tuple(THINGS)
# What moves is drawn more often: its poses have to be distinguished too.
_THING_WEIGHTS = tuple(3 if "jumping" in THINGS[name].actions else 1 for name in THING_NAMES)
_PLACE_WEIGHTS = {"sky": 12, "sea": 12, "grass": 13, "desert": 12, "snow": 12, "space": 13, "street": 12,
                  "room": 12, "plain": 9}


@dataclasses.dataclass
class Group:
    """Some things of one kind, all alike."""
    thing: str
    colour: str | None = None
    action: str | None = None
    count: int = 1
    size: str | None = None


@dataclasses.dataclass
class Scene:
    place: str
    night: bool
    groups: list
    grey: bool = False

    def label(self):
        return {"place": self.place, "night": self.night, "grey": self.grey,
                "things": [{key: value for key, value in dataclasses.asdict(group).items()
                            if value is not None and not (self.grey and key == "colour")}
                           for group in self.groups]}


def fits(thing, colour, place, night):
    """Whether a thing of that colour is seen there."""
    if colour in CLASHES[place]:
        return False
    if night and colour in ("black", "brown") or night and place == "sky" and colour in ("blue", "purple"):
        return False
    if thing == "sun" and (night or place in ("space", "room", "street")):
        return False
    if thing in ("cloud", "rain", "lightning", "rainbow") and place in ("room", "space"):
        return False
    return True


def random_group(r, place, night, held=False, thing=None, colour=None, natural=False):
    """A group that fits the place; never a held-back pair unless `held`."""
    for _ in range(200):
        name = thing or r.choice(THING_NAMES)
        kind = THINGS[name]
        tone = None
        if kind.coloured:
            tone = colour or r.choice(kind.natural if natural and kind.natural else COLOUR_NAMES)
        if not fits(name, tone, place, night) or (not held and heldback.is_held_back(name, tone, place)):
            continue
        action = r.choice(kind.actions) if kind.actions and r.random() < 0.6 else None
        return Group(name, tone, action)
    return None


def random_scene(r, even=False):
    """A scene for training: one group, sometimes two, seldom none; all things as often if `even`."""
    def any_group():
        return random_group(r, place, night, thing=None if even else r.choices(THING_NAMES, _THING_WEIGHTS)[0])

    while True:
        place = r.choices(tuple(_PLACE_WEIGHTS), tuple(_PLACE_WEIGHTS.values()))[0]
        night = place in OUTDOORS and r.random() < 0.28
        chance = r.random()
        if chance < 0.04 and place != "plain":
            return Scene(place, night, [], r.random() < 0.05)
        group = any_group()
        if group is None:
            continue
        groups = [group]
        if chance > 0.80:
            other = any_group()
            if other is not None and other.thing != group.thing:
                groups.append(other)
        elif chance > 0.66:
            group.count = r.choice((2, 2, 3, 3, 4, 5))
        elif chance > 0.56:
            group.size = r.choice(("small", "big"))
        return Scene(place, night, groups, r.random() < 0.07)


def sibling(scene, r):
    """The scene with one thing about it changed, or None: a hard negative in the same batch."""
    group = dataclasses.replace(scene.groups[0]) if scene.groups else None
    if group is None:
        return None
    kind = THINGS[group.thing]
    place, night = scene.place, scene.night
    change = r.choice(("colour", "colour", "thing", "thing", "thing", "thing", "place")
                      + (("action",) * 4 if kind.actions else ()))
    if change == "colour" and kind.coloured:
        group.colour = r.choice([name for name in COLOUR_NAMES if name != group.colour])
    elif change == "thing":
        alike = [name for name in THING_NAMES if kind.kinds and THINGS[name].kinds == kind.kinds]
        among = alike if len(alike) > 1 and r.random() < 0.5 else THING_NAMES
        group.thing = r.choice([name for name in among if name != group.thing])
        other = THINGS[group.thing]
        group.colour = (group.colour or r.choice(COLOUR_NAMES)) if other.coloured else None
        if group.action not in other.actions:
            group.action = None
    elif change == "place":
        place = r.choice([name for name in BACKGROUNDS if name != place])
        night = place in OUTDOORS and night
    elif change == "action":
        group.action = r.choice([name for name in (None,) + kind.actions if name != group.action])
    else:
        return None
    if not fits(group.thing, group.colour, place, night) or heldback.is_held_back(group.thing, group.colour, place):
        return None
    return Scene(place, night, [group], scene.grey)


def _slots(scene, r):
    """(group, x, size) for each thing: alone in the middle, or side by side."""
    slots = []
    for group in scene.groups:
        size = {None: r.uniform(0.56, 0.74), "small": r.uniform(0.26, 0.34), "big": r.uniform(0.80, 0.90)}[group.size]
        for _ in range(group.count):
            slots.append([group, 0.0, size])
    total = len(slots)
    if total == 1:
        slots[0][1] = r.uniform(-0.2, 0.2) * (2.2 if slots[0][2] < 0.4 else 0.6 if slots[0][2] < 0.8 else 0.2)
    if total > 1:
        limit = {2: 0.44, 3: 0.36, 4: 0.36, 5: 0.32}[total]
        if len(scene.groups) > 1:
            r.shuffle(slots)
        across = total if total < 4 else (total + 1) // 2
        step = 1.84 / across
        for index, slot in enumerate(slots):
            column = index % across
            slot[1] = (column - (across - 1) / 2) * step + r.uniform(-0.03, 0.03)
            slot[2] = min(slot[2], limit) * r.uniform(0.92, 1.06)
    return slots


def draw(scene, width, height, r):
    """The scene as a skia.Surface of that many pixels."""
    surface = skia.Surface(width, height)
    canvas = surface.getCanvas()
    half = min(width, height) / 2
    canvas.translate(width / 2, height / 2)
    canvas.scale(half, half)
    p = Pen(canvas)
    w, h = width / 2 / half, height / 2 / half
    BACKGROUNDS[scene.place](p, w, h, r, scene.night)
    slots = _slots(scene, r)
    rows = 1 if len(slots) < 4 else 2
    across = (len(slots) + 1) // 2
    ground = GROUND.get(scene.place)
    for index, (group, x, size) in enumerate(slots):
        kind = THINGS[group.thing]
        row = 0 if rows == 1 else index // across
        floating = kind.floats or ground is None or group.action == "flying"
        if floating:
            y = r.uniform(-0.08, 0.08) if rows == 1 else (-0.42, 0.44)[row]
            if ground is not None and rows == 1:
                y = min(-0.18 + r.uniform(-0.1, 0.1), 0.9 - size)
            y = max(y, size * 0.98 - 1)
        else:
            feet = ground + r.uniform(-0.04, 0.08) if rows == 1 else (ground - 0.62, ground + 0.08)[row]
            lift = 0.0
            if group.action == "jumping":
                lift = min(0.3, size * 0.5)
            if scene.place == "sea":
                feet += size * 0.16
            y = max(feet - size - lift, size - 0.99)
            if scene.place != "sea":
                p.ellipse(x, feet, size * 0.62, size * 0.09, (20, 24, 40), 70)
        canvas.save()
        canvas.translate(x, y)
        if scene.place in ("space", "sky") and not kind.floats:
            canvas.rotate(r.uniform(-14, 14))
        else:
            canvas.rotate(r.uniform(-3, 3))
        canvas.scale(size * (-1 if r.random() < 0.5 else 1), size)
        kind.draw(p, COLOURS[group.colour] if group.colour else kind.colour, group.action, r)
        canvas.restore()
        if scene.place == "sea" and not floating and (rows == 1 or row == 1) and index == len(slots) - 1:
            waves_before(p, w, h, ground + 0.1, r, scene.night)
    return surface
