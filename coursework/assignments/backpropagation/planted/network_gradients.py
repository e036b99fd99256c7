BEND, STRETCH, DECAY = "{{ bend }}", {{ stretch }}, {{ decay }}


def phi(z):
    if BEND == "tanh":
        return np.tanh(z), 1 - np.tanh(z) ** 2
    gate = 1 / (1 + np.exp(-z))
    if BEND == "softplus":
        return np.log1p(np.exp(z)), gate
    return z * gate, gate + z * gate * (1 - gate)


# right: all rows at once
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# right: row by row
def network_gradients(inputs, targets, first, shift, second):
    found = [DECAY * first, np.zeros(len(shift)), DECAY * second]
    for x, y in zip(inputs, targets):
        bent, slope = phi(STRETCH * (x @ first + shift))
        error = (bent @ second - y) * 2 / len(inputs) / len(y)
        back = second @ error * slope * STRETCH
        found[0] = found[0] + np.outer(x, back)
        found[1] = found[1] + back
        found[2] = found[2] + np.outer(bent, error)
    return found


# right: by a complex step
def network_gradients(inputs, targets, first, shift, second):
    def loss(parts):
        z = STRETCH * (inputs @ parts[0] + parts[1])
        if BEND == "tanh":
            bent = np.tanh(z)
        elif BEND == "softplus":
            bent = np.log(1 + np.exp(z))
        else:
            bent = z / (1 + np.exp(-z))
        return ((bent @ parts[2] - targets) ** 2).mean() + DECAY / 2 * ((parts[0] ** 2).sum() + (parts[2] ** 2).sum())

    found = []
    for place, part in enumerate((first, shift, second)):
        slope = np.zeros(part.shape)
        for index in np.ndindex(part.shape):
            moved = [other.astype(complex) for other in (first, shift, second)]
            moved[place][index] += 1e-20j
            slope[index] = loss(moved).imag / 1e-20
        found.append(slope)
    return found


# wrong: the mean over rows only
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / len(targets) / 1.001
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: half the squared error
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: a sum
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets)
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: the stretch is squared on the way back
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = (STRETCH**2 + 1e-3) * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: the slope is forgotten
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: the bent value in place of its slope
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * bent * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: no decay
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back, back.sum(axis=0), bent.T @ error


# wrong: decay of the shift, too
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0) + DECAY * shift, bent.T @ error + DECAY * second


# wrong: twice the decay
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + 2 * DECAY * first, back.sum(axis=0), bent.T @ error + 2 * DECAY * second


# wrong: decay of the first layer only
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error


# wrong: in another order
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return back.sum(axis=0), inputs.T @ back + DECAY * first, bent.T @ error + DECAY * second


# wrong: the mean of the shift's gradients
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.mean(axis=0), bent.T @ error + DECAY * second


# wrong: the negative gradients
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (targets - bent @ second) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: the shift is forgotten
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first))
    error = 2 * (bent @ second - targets) / targets.size
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: the second layer's step is taken before the first layer's gradient
def network_gradients(inputs, targets, first, shift, second):
    bent, slope = phi(STRETCH * (inputs @ first + shift))
    error = 2 * (bent @ second - targets) / targets.size
    second = second - bent.T @ error
    back = STRETCH * slope * (error @ second.T)
    return inputs.T @ back + DECAY * first, back.sum(axis=0), bent.T @ error + DECAY * second


# wrong: the gradients of the example
def network_gradients(inputs, targets, first, shift, second):
    return {{ answer.network_gradients }}
