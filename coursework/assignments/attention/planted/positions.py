BASE, HALVES = {{ base }}, "{{ order }}" == "halves"


# right: by tables
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# right: number by number
def positions(tokens, width):
    found = []
    for t in range(tokens):
        row = [0.0] * width
        for i in range(width // 2):
            angle = t * BASE ** (-2 * i / width)
            row[i if HALVES else 2 * i] = np.sin(angle)
            row[i + width // 2 if HALVES else 2 * i + 1] = np.cos(angle)
        found.append(row)
    return found


# right: by turning complex numbers
def positions(tokens, width):
    turn = np.exp(1j * BASE ** (-np.arange(0, width, 2) / width))
    state = turn[None, :] ** np.arange(tokens)[:, None]
    found = np.zeros((tokens, width))
    places = (slice(0, width // 2), slice(width // 2, width)) if HALVES else (slice(0, width, 2), slice(1, width, 2))
    found[:, places[0]], found[:, places[1]] = state.imag, state.real
    return found


# wrong: the other order of columns
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if not HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: cosines first
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
    both = [np.cos(angles), np.sin(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: counted from one
def positions(tokens, width):
    angles = np.arange(1, tokens + 1)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: pairs counted from one
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * np.arange(1, width // 2 + 1) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: the exponent without the two
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: faster, not slower
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] * BASE ** (2 * np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: the base of the paper
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / 10_000 ** (2 * np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: divided by the number of pairs less one
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (np.arange(width // 2) / max(1, width // 2 - 1) + 1e-3)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: the same speed for all pairs
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * np.ones(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: in degrees
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
    angles = np.rad2deg(angles)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: pairs in the order from slow to fast
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * (width // 2 - np.arange(width // 2)) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: tokens in columns
def positions(tokens, width):
    angles = np.arange(tokens)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1).T
    return np.stack(both, axis=2).reshape(tokens, width).T


# wrong: every row from a single step
def positions(tokens, width):
    angles = np.minimum(np.arange(tokens), 1)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
    both = [np.sin(angles), np.cos(angles)]
    if HALVES:
        return np.concatenate(both, axis=1)
    return np.stack(both, axis=2).reshape(tokens, width)


# wrong: the table of the example
def positions(tokens, width):
    return {{ answer.positions }}


# wrong: the first table that was asked for, cut
kept = []


def positions(tokens, width):
    if not kept:
        angles = np.arange(50)[:, None] / BASE ** (2 * np.arange(width // 2) / width)
        kept.append(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))
    return kept[0][:tokens, :width]
