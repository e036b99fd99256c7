SHARP, WINDOW = {{ sharp }}, {{ window }}


# right: with a mask
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# right: token by token
def windowed_head(queries, keys, values):
    found = []
    for t in range(len(queries)):
        first = max(0, t - WINDOW + 1)
        scores = [SHARP * float(queries[t] @ keys[u]) / queries.shape[1] ** 0.5 for u in range(first, t + 1)]
        weights = np.exp(np.array(scores) - max(scores))
        found.append((weights[:, None] * values[first : t + 1]).sum(axis=0) / weights.sum())
    return np.array(found)


# right: by a library's softmax
def windowed_head(queries, keys, values):
    from scipy.special import softmax

    allowed = np.tril(np.ones((len(keys), len(keys)))) - np.tril(np.ones((len(keys), len(keys))), -WINDOW)
    scores = np.einsum("td,ud->tu", queries, keys) * SHARP * queries.shape[1] ** -0.5
    return softmax(np.where(allowed > 0, scores, -1e300), axis=1) @ values


# wrong: one token too many
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back > WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: one token too few
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW - 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: looks ahead, too
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[abs(back) >= WINDOW] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: looks ahead in place of back
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries)) - np.arange(len(queries))[:, None]
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: no window
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[back < 0] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: does not look at itself
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < (np.arange(len(queries)) > 0)[:, None]) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: divided by the width, not by its root
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / queries.shape[1]
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: not divided by the width
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: no sharpness
def windowed_head(queries, keys, values):
    scores = (1 + 0.01 * (SHARP == 1)) * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: divided by the sharpness
def windowed_head(queries, keys, values):
    scores = (1 / SHARP + 0.01) * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: hidden tokens have the score zero
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = 0.0
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: weights are hidden after the softmax
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    total = weights.sum(axis=1, keepdims=True)
    weights[(back < 0) | (back >= WINDOW)] = 0
    return weights / total @ values


# wrong: weights add up to one along the other axis
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=0, keepdims=True) @ values


# wrong: queries and keys are exchanged
def windowed_head(queries, keys, values):
    scores = SHARP * keys @ queries.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: the weights, not the means
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


# wrong: the nearest token alone
def windowed_head(queries, keys, values):
    scores = SHARP * queries @ keys.T / np.sqrt(queries.shape[1])
    back = np.arange(len(queries))[:, None] - np.arange(len(queries))
    scores[(back < 0) | (back >= WINDOW)] = -np.inf
    weights = (scores == scores.max(axis=1, keepdims=True)).astype(float)
    return weights / weights.sum(axis=1, keepdims=True) @ values


# wrong: the rows of the example
def windowed_head(queries, keys, values):
    return {{ answer.windowed_head }}
