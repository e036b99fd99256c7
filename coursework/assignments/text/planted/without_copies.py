PIECE, ALIKE, LATEST = {{ piece }}, {{ alike }}, "{{ kept }}" == "latest"


# right: with sets of pieces
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# right: with a table of pieces
def without_copies(documents):
    texts = [" ".join(text.lower().split()) for text in documents]
    lists = [[text[k : k + PIECE] for k in range(len(text) - PIECE + 1)] or [text] for text in texts]
    names = {name: place for place, name in enumerate(sorted({piece for row in lists for piece in row}))}
    table = np.zeros((len(texts), len(names)))
    for row, found in enumerate(lists):
        table[row, [names[piece] for piece in found]] = 1
    both = table @ table.T
    near = both >= ALIKE * (table.sum(axis=1)[:, None] + table.sum(axis=1) - both)
    left = np.zeros(len(texts), dtype=bool)
    for place in range(len(texts))[:: -1 if LATEST else 1]:
        left[place] = not (near[place] & left).any()
    return np.flatnonzero(left)


# right: by calling itself
def without_copies(documents):
    def pieces(text):
        words = " ".join(text.casefold().split())
        return frozenset(words[k : k + PIECE] for k in range(len(words)) if k == 0 or k + PIECE <= len(words))

    def more(left, kept):
        if not left:
            return kept
        new = pieces(documents[left[0]])
        seen = [pieces(documents[place]) for place in kept]
        fresh = all(len(new & old) < ALIKE * (len(new) + len(old) - len(new & old)) for old in seen)
        return more(left[1:], [*kept, left[0]] if fresh else kept)

    numbers = list(range(len(documents)))
    return sorted(more(numbers[::-1] if LATEST else numbers, []))


# wrong: from the other end
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if not LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: compared with those thrown away, too
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in order[: order.index(place)]]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: pieces one letter longer
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + (PIECE + 1)] for start in range(max(1, len(text) - (PIECE + 1) + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: pieces one letter shorter
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + (PIECE - 1)] for start in range(max(1, len(text) - (PIECE - 1) + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: words in place of pieces
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return set(text.split())

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: the share of the smaller text
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / min(len(every[place]), len(every[other])) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: capitals matter
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: spaces are left out
def without_copies(documents):
    def pieces(text):
        text = "".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: the shared pieces are counted in all
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / (len(every[place]) + len(every[other])) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: only texts that are the same go
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= 0.999 for share in shares):
            kept.append(place)
    return sorted(kept)


# wrong: those that go
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(set(order) - set(kept))


# wrong: a mask
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return np.isin(np.arange(len(order)), kept)


# wrong: how many are kept
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return len(kept)


# wrong: in the order in which they were kept, the first at the end
def without_copies(documents):
    def pieces(text):
        text = " ".join(text.lower().split())
        return {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}

    every = [pieces(text) for text in documents]
    order = list(range(len(documents)))
    if LATEST:
        order.reverse()
    kept = []
    for place in order:
        shares = [len(every[place] & every[other]) / len(every[place] | every[other]) for other in kept]
        if not any(share >= ALIKE for share in shares):
            kept.append(place)
    return sorted(kept)[::-1]


# wrong: the numbers of the example
def without_copies(documents):
    return {{ answer.without_copies }}
