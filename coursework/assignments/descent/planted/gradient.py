WEIGHT, PENALTY = {{ weight }}, {{ penalty }}


# right: with probabilities
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return found


# right: example by example
def gradient(weights, inputs, labels):
    total, count = np.zeros(len(weights)), 0.0
    for row, label in zip(inputs, labels):
        sign, share = (1, WEIGHT) if label == 1 else (-1, 1.0)
        total += share * -sign * row / (1 + np.exp(sign * (row @ weights)))
        count += share
    mask = np.arange(len(weights)) < len(weights) - 1
    return total / count + PENALTY * weights * mask


# right: by a complex step, without any formula
def gradient(weights, inputs, labels):
    def loss(w):
        sign = np.where(labels == 1, 1.0, -1.0)
        counts = np.where(labels == 1, WEIGHT, 1.0)
        return (counts * np.log1p(np.exp(-sign * (inputs @ w)))).sum() / counts.sum() + PENALTY / 2 * (w[:-1] ** 2).sum()

    step = 1e-20
    return [_imaginary(loss, weights, place, step) for place in range(len(weights))]


def _imaginary(loss, weights, place, step):
    moved = weights.astype(complex)
    moved[place] += 1j * step
    return float(loss(moved).imag / step)


# wrong: the last weight is penalised too
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found += PENALTY * weights
    return found


# wrong: no penalty
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    return found


# wrong: the first weight is left out
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[1:] += PENALTY * weights[1:]
    return found


# wrong: twice the penalty
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += 2 * PENALTY * weights[:-1]
    return found


# wrong: the mean over rows
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / len(labels)
    found[:-1] += PENALTY * weights[:-1]
    return found


# wrong: a sum
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive))
    found[:-1] += PENALTY * weights[:-1]
    return found


# wrong: the others count more
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, 1.0, WEIGHT)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return found


# wrong: all count alike
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, 1.0, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return found


# wrong: the negative gradient
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return -found


# wrong: the labels as they are, in the other coding
def gradient(weights, inputs, labels):
    positive = np.where(labels == 1, 1.0, 0.5)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return found


# wrong: the gradient of a squared error
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * ((probability - positive) * probability * (1 - probability))) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return found


# wrong: the score in place of a probability
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = inputs @ weights
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return found


# wrong: the loss, not its gradient
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    found[:-1] += PENALTY * weights[:-1]
    return -np.log(probability).mean()


# wrong: changes the weights that it is given
def gradient(weights, inputs, labels):
    positive = (labels == 1).astype(float)
    counts = np.where(positive == 1, WEIGHT, 1.0)
    probability = 1 / (1 + np.exp(-inputs @ weights))
    found = inputs.T @ (counts * (probability - positive)) / counts.sum()
    weights[:-1] *= PENALTY
    found[:-1] += weights[:-1] + 0.01 * weights[:-1]
    return found


# wrong: the gradient of the example
def gradient(weights, inputs, labels):
    return {{ answer.gradient }}
