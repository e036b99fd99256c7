"""Words as numbers: weights of words, nearest texts, odds of a class, and texts that are nearly the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from coursework.questions import Assignment, Constants, Inputs, Question

RARITIES = {
    "smooth": "\\ln\\frac{1 + n}{1 + n_w} + 1",
    "plain": "\\ln\\frac{n}{n_w}",
}
COUNTS = {"count": "c", "log": "1 + \\ln c"}
LENGTHS = {"2": "the sum of its squares is 1", "1": "the sum of its numbers is 1"}
WORDS = "a bad bear blue boat cold dull film fine fog good green hall jam lake long new old plot red".split()


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """How words are weighed; which of two alike texts wins; a smoothing and a prior; pieces and how alike."""
    rarity, count, length = (str(rng.choice(list(rules))) for rules in (RARITIES, COUNTS, LENGTHS))
    return {
        "rarity": rarity,
        "rarity_rule": RARITIES[rarity],
        "count": count,
        "count_rule": COUNTS[count],
        "length": length,
        "length_rule": LENGTHS[length],
        "power": round(float(rng.uniform(0.3, 0.95)), 2),
        "tie": str(rng.choice(["first", "last"])),
        "alpha": round(float(rng.uniform(0.1, 3)), 2),
        "prior": round(float(rng.uniform(0.05, 0.45)), 2),
        "piece": int(rng.integers(2, 5)),
        "alike": (10 * int(rng.integers(35, 75)) + int(rng.choice([1, 3, 7, 9]))) / 1_000,  # no share
        "kept": str(rng.choice(["earliest", "latest"])),
    }


def texts(rng: np.random.Generator, count: int, longest: int = 8) -> list[str]:
    """Texts of a few words, in letters of both sizes and with more than one space in places."""
    found = []
    for _ in range(count):
        words = rng.choice(WORDS[: int(rng.integers(6, len(WORDS)))], size=int(rng.integers(1, longest)))
        shaped = [str(word).capitalize() if rng.random() < 0.3 else str(word) for word in words]
        found.append(str(rng.choice([" ", " ", "  "])).join(shaped))
    return found


def weights_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    found = texts(rng, int(rng.integers(3, 9)))
    return {"documents": [text + " Bear" for text in found] if rng.random() < 0.3 else found}


def weights_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    counts = [Counter(text.lower().split()) for text in inputs["documents"]]
    words = sorted(set().union(*counts))
    found = np.zeros((len(counts), len(words)))
    for place, word in enumerate(words):
        holding = sum(word in count for count in counts)
        if drawn["rarity"] == "smooth":
            rarity = np.log((1 + len(counts)) / (1 + holding)) + 1
        else:
            rarity = np.log(len(counts) / holding)
        for row, count in enumerate(counts):
            if word in count:
                times = count[word] if drawn["count"] == "count" else 1 + np.log(count[word])
                found[row, place] = times**drawn["power"] * rarity
    size = (found ** int(drawn["length"])).sum(axis=1, keepdims=True) ** (1 / int(drawn["length"]))
    return np.divide(found, size, out=np.zeros_like(found), where=size > 0)


def nearest_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    width = int(rng.integers(2, 6))
    vectors = rng.integers(0, 4, size=(int(rng.integers(3, 12)), width)).astype(float)
    vectors[0, 0] += 1  # so that some vector has a direction
    vectors[int(rng.integers(len(vectors)))] = 2 * vectors[0]  # as near to everything as the first
    vectors[int(rng.integers(1, len(vectors)))] = 0.0
    queries = rng.integers(0, 4, size=(int(rng.integers(2, 7)), width)).astype(float)
    queries[0], queries[1] = vectors[0] + 1e-3, 0.0
    return {"vectors": vectors, "queries": queries}


def nearest_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    found = []
    for query in inputs["queries"]:
        best, place = -np.inf, -1
        for number, vector in enumerate(inputs["vectors"]):
            if not (query.any() and vector.any()):
                continue
            angle = query @ vector / np.sqrt((query @ query) * (vector @ vector))
            if angle > best + 1e-9 or (drawn["tie"] == "last" and angle > best - 1e-9):
                best, place = max(angle, best), number
        found.append(place)
    return np.array(found)


def odds_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    documents = texts(rng, int(rng.integers(4, 12)))
    labels = rng.integers(0, 2, size=len(documents))
    labels[:2] = [0, 1]
    queries = [*texts(rng, 3), "Nowhere seen", documents[0] + " unseen"]
    return {"documents": documents, "labels": labels, "queries": queries}


def odds_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    sides = [Counter(), Counter()]
    for text, label in zip(inputs["documents"], inputs["labels"], strict=True):
        sides[int(label)].update(text.lower().split())
    words, alpha = set(sides[0]) | set(sides[1]), drawn["alpha"]
    found = []
    for query in inputs["queries"]:
        odds = np.log(drawn["prior"] / (1 - drawn["prior"]))
        for word in query.lower().split():
            if word in words:
                no, yes = ((side[word] + alpha) / (side.total() + alpha * len(words)) for side in sides)
                odds += np.log(yes) - np.log(no)
        found.append(odds)
    return np.array(found)


def copies_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    """Texts, and chains of texts of which each is the one before and another word."""
    found = texts(rng, int(rng.integers(2, 4)), longest=6)
    for text in list(found):
        for _ in range(int(rng.integers(0, 5))):
            text = f"{text} {rng.choice(WORDS)}" if rng.random() < 0.8 else text.upper()
            found.append(text)
    return {"documents": [found[place] for place in rng.permutation(len(found))]}


def copies_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    size, documents = drawn["piece"], inputs["documents"]
    order = range(len(documents)) if drawn["kept"] == "earliest" else range(len(documents))[::-1]
    kept: dict[int, set[str]] = {}
    for place in order:
        text = " ".join(documents[place].lower().split())
        pieces = {text[start : start + size] for start in range(max(1, len(text) - size + 1))}
        if all(len(pieces & other) < drawn["alike"] * len(pieces | other) for other in kept.values()):
            kept[place] = pieces
    return np.array(sorted(kept))


ASSIGNMENT = Assignment(
    name="text",
    constants=constants,
    questions=(
        Question("word_weights", weights_inputs, weights_truth, cases=10),
        Question("nearest", nearest_inputs, nearest_truth, cases=20),
        Question("log_odds", odds_inputs, odds_truth, cases=10),
        Question("without_copies", copies_inputs, copies_truth, cases=60),
    ),
)
