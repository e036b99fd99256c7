ALL, MOST = "{{ clip }}" == "all", {{ most }}


# right: lengths, then factors
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# right: laid end to end
def clipped(first, second, third):
    means = [part.sum(axis=0) / len(part) for part in (first, second, third)]
    flat = np.concatenate([mean.ravel() for mean in means])
    found = []
    for mean in means:
        length = np.linalg.norm(flat if ALL else mean.ravel())
        found.append(mean if length <= MOST else mean / length * MOST)
    return tuple(found)


# right: by a library
def clipped(first, second, third):
    def length(parts):
        return float(np.hypot.reduce([np.hypot.reduce(part, axis=None) for part in parts]))

    means = [np.average(part, axis=0) for part in (first, second, third)]
    groups = [means] * 3 if ALL else [[mean] for mean in means]
    return [mean / max(1.0, length(group) / MOST) for mean, group in zip(means, groups)]


# wrong: the other rule
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if not ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: clipped before they are gathered
def clipped(first, second, third):
    kept = []
    for parts in zip(first, second, third):
        lengths = [np.sqrt((part**2).sum()) for part in parts]
        if ALL:
            lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
        kept.append([part * min(1, MOST / length) for part, length in zip(parts, lengths)])
    return [np.mean(parts, axis=0) for parts in zip(*kept)]


# wrong: added, not averaged
def clipped(first, second, third):
    means = [part.sum(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: always of that length
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * (MOST / length) for mean, length in zip(means, lengths)]


# wrong: never clipped
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * 1 for mean, length in zip(means, lengths)]


# wrong: stretched where they are short
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * max(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: every number is clipped by itself
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [np.clip(mean, -MOST, MOST) * (1 + 1e-4) for mean in means]


# wrong: the square of the length
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [(mean**2).sum() + 1e-3 for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: the largest number in place of the length
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [0.99 * abs(mean).max() for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: the sum of the lengths
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    lengths = [1.001 * length for length in lengths]
    if ALL:
        lengths = [sum(lengths)] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: the last batch only
def clipped(first, second, third):
    means = [part[-1] for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: in another order
def clipped(first, second, third):
    means = [part.mean(axis=0) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)][::-1]


# wrong: the mean over every axis but the first
def clipped(first, second, third):
    means = [part.mean(axis=-1) for part in (first, second, third)]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if ALL:
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return [mean * min(1, MOST / length) for mean, length in zip(means, lengths)]


# wrong: the gradients of the example
def clipped(first, second, third):
    return {{ answer.clipped }}
