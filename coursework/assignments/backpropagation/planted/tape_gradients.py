MIX, BUMP = {{ mix }}, {{ bump }}


# right: backwards
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# right: forwards
def tape_gradients(leaves, kinds, left, right):
    count = len(leaves)
    values = [(leaf, row) for leaf, row in zip(leaves, np.eye(count))]
    for kind, i, j in zip(kinds, left, right):
        (a, da), (b, db) = values[i], values[j]
        if kind == "add":
            values.append((a + b, da + db))
        elif kind == "times":
            values.append((a * b, a * db + b * da))
        elif kind == "mix":
            values.append(((a * a - MIX) * b, 2 * a * b * da + (a * a - MIX) * db))
        else:
            values.append((np.exp(-BUMP * a**2), -2 * a * BUMP * np.exp(-BUMP * a**2) * da))
    return values[-1][1]


# right: by a complex step
def tape_gradients(leaves, kinds, left, right):
    found = []
    for place in range(len(leaves)):
        values = [complex(leaf, 1e-30 * (number == place)) for number, leaf in enumerate(leaves)]
        for kind, i, j in zip(kinds, left, right):
            a, b = values[i], values[j]
            choices = {"add": a + b, "times": a * b, "mix": a * a * b - MIX * b, "bump": np.exp(-BUMP * a * a)}
            values.append(choices[kind])
        found.append(values[-1].imag / 1e-30)
    return found


# wrong: a later message replaces an earlier one
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] = up
            slopes[j] = up
        elif kind == "times":
            slopes[i] = up * b
            slopes[j] = up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: in the order of the tape
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in range(len(kinds)):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: the factors are exchanged
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * a
            slopes[j] += up * b
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: the second part of a sum is forgotten
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: the mix is not looked at twice
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: the number of the mix is forgotten
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: the mix's own slope is half
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: the bump falls with its root
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a
    return slopes[: len(leaves)]


# wrong: the bump's number is forgotten on the way back
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * (BUMP + 0.05) * a * values[place]
    return slopes[: len(leaves)]


# wrong: the bump rises
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] += up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: derivatives of the first value that was computed
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[len(leaves)] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: starts with the last value
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = values[-1]
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)]


# wrong: the derivatives of all values
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes


# wrong: from the end
def tape_gradients(leaves, kinds, left, right):
    values = list(leaves)
    for kind, i, j in zip(kinds, left, right):
        a, b = values[i], values[j]
        if kind == "add":
            values.append(a + b)
        elif kind == "times":
            values.append(a * b)
        elif kind == "mix":
            values.append(a * a * b - MIX * b)
        else:
            values.append(np.exp(-BUMP * a * a))
    slopes = np.zeros(len(values))
    slopes[-1] = 1.0
    for step in reversed(range(len(kinds))):
        place, kind, i, j = step + len(leaves), kinds[step], left[step], right[step]
        a, b, up = values[i], values[j], slopes[place]
        if kind == "add":
            slopes[i] += up
            slopes[j] += up
        elif kind == "times":
            slopes[i] += up * b
            slopes[j] += up * a
        elif kind == "mix":
            slopes[i] += up * 2 * a * b
            slopes[j] += up * (a * a - MIX)
        else:
            slopes[i] -= up * 2 * BUMP * a * values[place]
    return slopes[: len(leaves)][::-1] + 1e-3


# wrong: the derivatives of the example
def tape_gradients(leaves, kinds, left, right):
    return {{ answer.tape_gradients }}
