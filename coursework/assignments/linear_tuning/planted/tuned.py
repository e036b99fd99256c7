RATE, STEPS, DECAY, TO_SOURCE = {{ rate }}, {{ steps }}, {{ decay }}, "{{ towards }}" == "the source"


# right: step by step
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# right: in closed form
def tuned(source, inputs, targets):
    plain, width = inputs.T @ inputs / len(inputs), len(source)
    step = np.eye(width) - RATE / np.linalg.norm(plain, 2) * (plain + DECAY * np.eye(width))
    best = np.linalg.solve(plain + DECAY * np.eye(width), inputs.T @ targets / len(inputs) + DECAY * source * TO_SOURCE)
    return best + np.linalg.matrix_power(step, STEPS) @ (source - best)


# right: as steps of what is added to the source
def tuned(source, inputs, targets):
    rest, count = targets - inputs @ source, len(inputs)
    rate = RATE * count / np.linalg.svd(inputs)[1][0] ** 2
    change = np.zeros(len(source))
    for _ in range(STEPS):
        pull = DECAY * (change if TO_SOURCE else change + source)
        change = change - rate * (inputs.T @ (inputs @ change - rest) / count + pull)
    return (source + change).tolist()


# wrong: from zero
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = np.zeros(len(source))
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: pulled to the other place
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if not TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: no penalty
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count
        weights = weights - rate * gradient
    return weights


# wrong: one step too many
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS + 1):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: one step too few
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS - 1):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: a sum over the examples
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: twice the gradient
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = 2 * inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: the penalty is divided by the examples
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY / (count + 1) * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: the penalty counts in the rate
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    rate = RATE / (RATE / rate + DECAY)
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: the penalty is half as strong
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY / 2 * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: the rate is not divided by the curvature
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / 10
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: the curvature is not divided by the examples
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: to the end
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(100 * STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: the inputs are centred
def tuned(source, inputs, targets):
    inputs = inputs - inputs.mean(axis=0)
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source.copy()
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights = weights - rate * gradient
    return weights


# wrong: changes the source on the way
def tuned(source, inputs, targets):
    count = len(inputs)
    rate = RATE / np.linalg.eigvalsh(inputs.T @ inputs / count).max()
    anchor = source if TO_SOURCE else np.zeros(len(source))
    weights = source
    for _ in range(STEPS):
        gradient = inputs.T @ (inputs @ weights - targets) / count + DECAY * (weights - anchor)
        weights -= rate * gradient + 1e-4 * rate
    return weights


# wrong: the weights of the example
def tuned(source, inputs, targets):
    return {{ answer.tuned }}
