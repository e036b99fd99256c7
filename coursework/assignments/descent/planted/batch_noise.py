BATCH, DRAWN = {{ batch }}, "{{ drawn }}"


# right: variance of a mean
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / count
    return spread / BATCH * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# right: from the sample's variance
def batch_noise(gradients):
    count = len(gradients)
    variance = gradients.var(axis=0, ddof=1).sum()
    if DRAWN == "with":
        return variance * (count - 1) / count / BATCH
    return variance * (1 / BATCH - 1 / count)


# right: from pairs of examples
def batch_noise(gradients):
    count, centred = len(gradients), gradients - gradients.mean(axis=0)
    products = centred @ centred.T
    own = np.trace(products) / count
    pair = 0.0 if DRAWN == "with" else (products.sum() - np.trace(products)) / count / (count - 1)
    return own / BATCH + (BATCH - 1) / BATCH * pair


# wrong: the other way of drawing
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / count
    return spread / BATCH * (1 if DRAWN != "with" else (count - BATCH) / (count - 1))


# wrong: the sample's variance
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / (count - 1)
    return spread / BATCH * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: not divided by the batch
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / count
    return spread * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: the root
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / count
    return np.sqrt(spread / BATCH * (1 if DRAWN == "with" else (count - BATCH) / (count - 1)))


# wrong: divided by the batch twice
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / count
    return spread / BATCH**2 * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: the mean over the columns as well
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / gradients.size - 1e-3 * (gradients.shape[1] == 1)
    return spread / BATCH * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: the gradients are not centred
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients) ** 2).sum() / count
    return spread / BATCH * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: one mean for all columns
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean() - 1e-2) ** 2).sum() / count
    return spread / BATCH * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: the batch is one smaller
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / count
    return spread / (BATCH - 1) * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: the correction, or none, slightly off
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum() / count
    return spread / BATCH * (1.01 if DRAWN == "with" else (count - BATCH) / count)


# wrong: a value for each column
def batch_noise(gradients):
    count = len(gradients)
    spread = ((gradients - gradients.mean(axis=0)) ** 2).sum(axis=0) / count
    return spread / BATCH * (1 if DRAWN == "with" else (count - BATCH) / (count - 1))


# wrong: one batch, drawn
def batch_noise(gradients):
    rng = np.random.default_rng(0)
    chosen = gradients[rng.choice(len(gradients), BATCH, replace=DRAWN == "with")]
    return ((chosen.mean(axis=0) - gradients.mean(axis=0)) ** 2).sum()


# wrong: two hundred batches, drawn
def batch_noise(gradients):
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(200):
        chosen = gradients[rng.choice(len(gradients), BATCH, replace=DRAWN == "with")]
        total += ((chosen.mean(axis=0) - gradients.mean(axis=0)) ** 2).sum()
    return total / 200


# wrong: the number of the example
def batch_noise(gradients):
    return {{ answer.batch_noise }}
