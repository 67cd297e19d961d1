"""The published queries of samples/queries.json, and what counts as right for each."""

import json
import pathlib

import heldback
from things import THINGS

NAMES = ("cat", "dog", "horse", "cow", "sheep", "pig", "elephant", "rabbit", "bird", "duck", "fish", "butterfly",
         "snake", "turtle", "frog", "penguin", "whale", "owl", "robot", "astronaut", "snowman", "car", "bus",
         "train", "bicycle", "boat", "airplane", "helicopter", "rocket", "hot air balloon", "tree", "cactus",
         "mushroom", "castle", "lighthouse", "windmill", "rainbow", "pizza", "ice cream", "guitar")
PLACES = {"outer space": {"place": "space"}, "desert": {"place": "desert"}, "the sea": {"place": "sea"},
          "street": {"place": "street"}, "night sky": {"place": "sky", "night": True}, "snow": {"place": "snow"},
          "a room": {"place": "room"}, "grass": {"place": "grass"}}
COLOURED = ("a red car", "blue car", "yellow bus", "a green apple", "red apple", "a red balloon", "blue balloon",
            "white horse", "a brown dog", "black cat", "an orange cat", "yellow duck", "pink flower",
            "a red flower", "yellow house", "a red umbrella", "blue fish", "purple butterfly", "green boat",
            "a blue book", "red heart", "green triangle")
PLACED = {"dog on grass": ("dog", "grass"), "a cat in a room": ("cat", "room"),
          "penguin in the snow": ("penguin", "snow"), "boat on the sea": ("boat", "sea"),
          "car on the street": ("car", "street"), "cactus in the desert": ("cactus", "desert"),
          "rocket in outer space": ("rocket", "space"), "an astronaut in space": ("astronaut", "space"),
          "airplane in the sky": ("airplane", "sky"), "a whale in the sea": ("whale", "sea"),
          "horse in a meadow": ("horse", "grass"), "palm tree in the desert": ("palm tree", "desert"),
          "a man on the street": ("man", "street"), "house on the grass": ("house", "grass"),
          "bird in the sky": ("bird", "sky"), "snowman in the snow": ("snowman", "snow"),
          "dog on grass at night": ("dog", "grass", True), "bus in the street at night": ("bus", "street", True)}
ACTING = {"man jumping": ("man", "jumping"), "man running": ("man", "running"), "a man sitting": ("man", "sitting"),
          "woman jumping": ("woman", "jumping"), "a woman running": ("woman", "running"),
          "woman sitting": ("woman", "sitting"), "child jumping": ("child", "jumping"),
          "a child running": ("child", "running"), "cat sitting": ("cat", "sitting"),
          "dog running": ("dog", "running"), "a dog jumping": ("dog", "jumping"),
          "jumping horse": ("horse", "jumping")}
_HELD_PLACE = {"space": "in outer space", "snow": "in the snow", "desert": "in the desert", "grass": "on grass",
               "street": "on the street", "room": "in a room", "sea": "in the sea"}


def _article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def published():
    """100 queries, each {"query", "group", "right": what one thing and the place must be}."""
    rows = [{"query": name, "group": "thing", "right": {"thing": name}} for name in NAMES]
    rows += [{"query": text, "group": "place", "right": right} for text, right in PLACES.items()]
    for text in COLOURED:
        colour, thing = text.split()[-2:]
        rows.append({"query": text, "group": "colour", "right": {"thing": thing, "colour": colour}})
    for text, (thing, place, *night) in PLACED.items():
        right = {"thing": thing, "place": place} | ({"night": True} if night else {})
        rows.append({"query": text, "group": "thing and place", "right": right})
    rows += [{"query": text, "group": "action", "right": {"thing": thing, "action": action}}
             for text, (thing, action) in ACTING.items()]
    assert len(rows) == len({row["query"] for row in rows}) == 100
    for row in rows:
        right = row["right"]
        assert right.get("thing", "cat") in THINGS
        assert not heldback.is_held_back(right.get("thing"), right.get("colour"), right.get("place"))
    return rows


def held_back():
    """A query for each pair that training never joined."""
    rows = [{"query": "%s %s" % (_article(thing), _HELD_PLACE[place]), "group": "held back",
             "right": {"thing": thing, "place": place}} for thing, place in sorted(heldback.PLACES)]
    return rows + [{"query": _article("%s %s" % (colour, thing)), "group": "held back",
                    "right": {"thing": thing, "colour": colour}} for colour, thing in sorted(heldback.COLOURS)]


def is_right(label, right):
    """Whether a picture with that label (samples/labels.json) answers the query."""
    if any(key in right and label[key] != right[key] for key in ("place", "night")):
        return False
    asked = {key: right[key] for key in ("thing", "colour", "action", "count") if key in right}
    return not asked or any(all(group.get(key) == value for key, value in asked.items())
                            for group in label["things"])


def write(path):
    text = json.dumps({"published": published(), "held_back": held_back()}, indent=1)
    pathlib.Path(path).write_text(text + "\n")
