"""Pairs that no training picture or caption ever joins: they test whether the model composes."""

PLACES = frozenset({
    ("cat", "space"), ("dog", "snow"), ("horse", "desert"), ("car", "grass"), ("tree", "desert"),
    ("penguin", "street"), ("elephant", "room"), ("house", "snow"), ("astronaut", "grass"),
    ("boat", "street"), ("robot", "sea"), ("umbrella", "desert"),
})
COLOURS = frozenset({
    ("purple", "cat"), ("green", "dog"), ("pink", "car"), ("blue", "apple"), ("orange", "house"),
    ("yellow", "rocket"), ("red", "duck"), ("green", "horse"), ("white", "balloon"),
    ("blue", "flower"), ("purple", "umbrella"), ("black", "boat"),
})


def is_held_back(thing, colour, place):
    return (thing, place) in PLACES or (colour, thing) in COLOURS
