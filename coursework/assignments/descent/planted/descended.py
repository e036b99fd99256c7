RATE, DECAY, MOMENTUM, AHEAD = {{ rate }}, {{ decay }}, {{ momentum }}, "{{ kind }}" == "ahead"


# right: step by step
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# right: with the last two places in place of a velocity
def descended(curvature, towards, start, steps):
    largest = np.linalg.norm(curvature, 2)
    before = now = start
    for t in range(steps):
        moved = MOMENTUM * (now - before)
        place = now + moved if AHEAD else now
        gradient = curvature.dot(place) - towards
        before, now = now, now + moved - RATE / largest / (1 + DECAY * t) * gradient
    return now


# right: direction by direction
def descended(curvature, towards, start, steps):
    values, directions = np.linalg.eigh(curvature)
    w, b = directions.T @ start, directions.T @ towards
    v = 0 * w
    for t in range(steps):
        g = values * (w + AHEAD * MOMENTUM * v) - b
        v = MOMENTUM * v - RATE / max(values) / (1 + DECAY * t) * g
        w = w + v
    return (directions @ w).tolist()


# wrong: the gradient at the other place
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * (not AHEAD)) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: steps counted from one
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * (t + 1)))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: one step too few
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps - 1):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: one step too many
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps + 1):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: the rate does not fall
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * 1)
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: the rate falls at every step by a factor
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY) ** (t + 1))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: uphill
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v + rate * g
        w = w + v
    return w


# wrong: the old velocity moves the weights
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        w, v = w + v, MOMENTUM * v - rate * g
    return w


# wrong: no momentum
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = -rate * g
        w = w + v
    return w


# wrong: the velocity is an average
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - (1 - MOMENTUM) * rate * g
        w = w + v
    return w


# wrong: the trace in place of the largest curvature
def descended(curvature, towards, start, steps):
    largest = np.trace(curvature)
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: the smallest curvature
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[0]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: twice the gradient
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        g = 2 * g
        v = MOMENTUM * v - rate * g
        w = w + v
    return w


# wrong: the minimum, not the place after the steps
def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), np.zeros_like(start)
    for t in range(steps):
        rate = RATE / (largest * (1 + DECAY * t))
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - rate * g
        w = w + v
    return np.linalg.solve(curvature, towards)


# wrong: goes on from where the last call ended
kept = {}


def descended(curvature, towards, start, steps):
    largest = np.linalg.eigvalsh(curvature)[-1]
    w, v = start.copy(), kept.get(len(start), np.zeros_like(start))
    for t in range(steps):
        g = curvature @ (w + MOMENTUM * v * AHEAD) - towards
        v = MOMENTUM * v - RATE / largest / (1 + DECAY * t) * g
        w = w + v
    kept[len(start)] = v
    return w


# wrong: the place of the example
def descended(curvature, towards, start, steps):
    return {{ answer.descended }}
