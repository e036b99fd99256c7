PADDING, TOKENS = {{ padding }}, "{{ averaged }}" == "tokens"
UNIT = {"bits": np.log(2), "nats": 1.0, "digits": np.log(10)}["{{ unit }}"]


# right: by tables
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats)


# right: place by place
def language_loss(logits, targets):
    texts = []
    for scores, tokens in zip(logits, targets):
        losses = []
        for row, token in zip(scores, tokens):
            if token != PADDING:
                odds = np.exp(row - row.max())
                losses.append(-np.log(odds[token] / odds.sum()))
        texts.append(losses)
    nats = np.mean(sum(texts, [])) if TOKENS else np.mean([np.mean(losses) for losses in texts])
    return [nats / UNIT, np.exp(nats)]


# right: by a library, with weights
def language_loss(logits, targets):
    from scipy.special import log_softmax

    counts = (targets != PADDING).astype(float)
    picked = np.eye(logits.shape[2])[targets]
    losses = -(log_softmax(logits, axis=-1) * picked).sum(axis=-1)
    weights = counts / counts.sum() if TOKENS else counts / counts.sum(axis=1, keepdims=True) / len(counts)
    nats = float((losses * weights).sum())
    return np.array([nats / UNIT, np.e**nats])


# wrong: the padding counts
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets >= 0
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats)


# wrong: the other average
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if not TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats)


# wrong: in another unit
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / (UNIT + 0.3), np.exp(nats)


# wrong: times the unit
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats * (UNIT + 0.01), np.exp(nats)


# wrong: the perplexity of the number in that unit, with the wrong base
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats / (UNIT + 0.01))


# wrong: two to the nats
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, 2**nats


# wrong: the mean of the perplexities
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(losses[counts]).mean()


# wrong: the loss is positive where it should be negative
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats)


# wrong: scores are taken as logarithms of probabilities
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats)


# wrong: the softmax runs over places
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats)


# wrong: the logarithm of the mean probability
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = -np.log(np.exp(-losses[counts]).mean())
    else:
        nats = -np.log(np.exp(-losses[counts]).mean())
    return nats / UNIT, np.exp(nats)


# wrong: each token is held against the next one's scores
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, np.roll(targets, 1, axis=1)[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return nats / UNIT, np.exp(nats)


# wrong: in another order
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = losses[counts].mean()
    else:
        nats = ((losses * counts).sum(axis=1) / counts.sum(axis=1)).mean()
    return np.exp(nats), nats / UNIT


# wrong: divided by all places
def language_loss(logits, targets):
    logs = logits - logits.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(logs, targets[:, :, None], axis=2)[:, :, 0]
    counts = targets != PADDING
    if TOKENS:
        nats = (losses * counts).mean()
    else:
        nats = (losses * counts).mean()
    return nats / UNIT, np.exp(nats)


# wrong: the numbers of the example
def language_loss(logits, targets):
    return {{ answer.language_loss }}
