HEADS, KEPT = {{ heads }}, {{ kept }}


# right: head by head
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# right: all heads at once
def block(inputs, to_query, to_key, to_value, to_out):
    tokens, width = inputs.shape

    def cut(table):
        return (inputs @ table).reshape(tokens, HEADS, width // HEADS).transpose(1, 0, 2)

    query, key, value = cut(to_query), cut(to_key), cut(to_value)
    scores = query @ key.transpose(0, 2, 1) * (width // HEADS) ** -0.5
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = (weights @ value).transpose(1, 0, 2).reshape(tokens, width)
    return inputs * KEPT + mixed @ to_out * (1 - KEPT)


# right: every head writes its own part of the sum
def block(inputs, to_query, to_key, to_value, to_out):
    from scipy.special import softmax

    size = inputs.shape[1] // HEADS
    total = KEPT * inputs
    for head in range(HEADS):
        own = slice(head * size, (head + 1) * size)
        scores = inputs @ (to_query[:, own] @ to_key[:, own].T) @ inputs.T / size**0.5
        total = total + (1 - KEPT) * softmax(scores, axis=1) @ inputs @ (to_value[:, own] @ to_out[own])
    return total


# wrong: one head
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), 1):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: the root of the whole width
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(inputs.shape[1])
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: not divided by the root
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T/ (1 + 1e-3)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: heads take columns in turn
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in [np.arange(inputs.shape[1])[head::HEADS] + 0 for head in range(HEADS)]:
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns) + 1e-2)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: heads in the other order
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found[::-1], axis=1) @ to_out


# wrong: no residual
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: the shares of the residual are exchanged
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return (1.001 - KEPT) * inputs + KEPT * np.concatenate(found, axis=1) @ to_out


# wrong: the residual is added whole
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return inputs + np.concatenate(found, axis=1) @ to_out


# wrong: no last table
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1)


# wrong: tables from the left
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table.T[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: the rows of the tables are cut
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs[:, columns] @ table[columns][:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: every token looks back only
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        scores = np.where(np.tri(len(scores)) > 0, scores, -1e9)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: weights add up to one along the other axis
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=0, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: the mean of the heads
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_key, to_value))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.tile(np.mean(found, axis=0), HEADS) @ to_out


# wrong: keys and values are exchanged
def block(inputs, to_query, to_key, to_value, to_out):
    found = []
    for columns in np.split(np.arange(inputs.shape[1]), HEADS):
        query, key, value = (inputs @ table[:, columns] for table in (to_query, to_value, to_key))
        scores = query @ key.T / np.sqrt(len(columns))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return KEPT * inputs + (1 - KEPT) * np.concatenate(found, axis=1) @ to_out


# wrong: the rows of the example
def block(inputs, to_query, to_key, to_value, to_out):
    return {{ answer.block }}
