SMOOTH, LOG = "{{ rarity }}" == "smooth", "{{ count }}" == "log"
POWER, LENGTH = {{ power }}, {{ length }}


# right: with a table of counts
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# right: text by text
def word_weights(documents):
    from collections import Counter

    rows = [Counter(text.lower().split()) for text in documents]
    words = sorted(set().union(*rows))
    found = []
    for row in rows:
        values = []
        for word in words:
            n, holding, c = len(rows), sum(word in other for other in rows), row[word]
            rarity = np.log((1 + n) / (1 + holding)) + 1 if SMOOTH else np.log(n / holding)
            values.append(((1 + np.log(c) if LOG else c) ** POWER if c else 0) * rarity)
        size = sum(value**LENGTH for value in values) ** (1 / LENGTH)
        found.append([value / size if size else 0.0 for value in values])
    return found


# right: with a library's counts
def word_weights(documents):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    counts = CountVectorizer(token_pattern=r"[^ ]+").fit_transform(documents).toarray().astype(float)
    holding = np.count_nonzero(counts, axis=0)
    rarity = np.log((1 + len(counts)) / (1 + holding)) + 1 if SMOOTH else np.log(len(counts) / holding)
    heard = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) if LOG else counts
    return normalize(heard**POWER * rarity, norm=f"l{LENGTH}")


# wrong: capitals make another word
def word_weights(documents):
    rows = [text.split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: split at every single space
def word_weights(documents):
    rows = [text.lower().split(" ") for text in documents]
    rows[0] = rows[0] + [""]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: the other rarity
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if not SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: how often a word occurs, not in how many texts
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = counts.sum(axis=0) + 1e-2
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: the other count
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    counts = counts + (counts > 0) * 1e-2
    if not LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: no power
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: the power on the rarity too
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = (counts * rarity) ** POWER
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: not divided by the size
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table


# wrong: the other size
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table ** (3 - LENGTH)).sum(axis=1, keepdims=True) ** (1 / (3 - LENGTH)) * 1.001
    return table / np.where(size == 0, 1, size)


# wrong: columns scaled, not rows
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=0, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: words in the order in which they are met
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = list(dict.fromkeys(word for row in rows for word in row))
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: words from the end of the alphabet
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row}, reverse=True)
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: the logarithm of the upper number alone
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log(1 + len(rows)) / (1 + holding) + 1 if SMOOTH else np.log(len(rows)) / holding
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return table / np.where(size == 0, 1, size)


# wrong: words in rows
def word_weights(documents):
    rows = [text.lower().split() for text in documents]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=float)
    holding = (counts > 0).sum(axis=0)
    rarity = np.log((1 + len(rows)) / (1 + holding)) + 1 if SMOOTH else np.log(len(rows) / holding)
    if LOG:
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
    table = counts**POWER * rarity
    size = (table**LENGTH).sum(axis=1, keepdims=True) ** (1 / LENGTH)
    return (table / np.where(size == 0, 1, size)).T


# wrong: the table of the example
def word_weights(documents):
    return {{ answer.word_weights }}
