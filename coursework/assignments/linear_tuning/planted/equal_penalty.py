FRACTION, TIMES = {{ fraction }}, {{ times }}


# right: from the share that is gone
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return curvatures * (1 / gone - 1)


# right: from the share that is left
def equal_penalty(curvatures):
    left = np.exp(TIMES * np.log1p(-FRACTION * curvatures / curvatures.max()))
    return curvatures / (1 / left - 1)


# right: step by step
def equal_penalty(curvatures):
    found = []
    for curvature in curvatures:
        place = 0.0
        for _ in range(TIMES):
            place += FRACTION / max(curvatures) * curvature * (1 - place)
        found.append((1 - place) * curvature / place)
    return found


# wrong: the share that is left, upside down
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return curvatures * (gone / (1 - gone))


# wrong: the share that is gone
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return gone


# wrong: the share that is left
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return 1 - gone


# wrong: one step too few
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** (TIMES - 1)
    return curvatures * (1 / gone - 1)


# wrong: one step too many
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** (TIMES + 1)
    return curvatures * (1 / gone - 1)


# wrong: one over rate and steps, the rule of thumb
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return 0 * curvatures + curvatures[0] / (FRACTION * TIMES)


# wrong: not times the curvature
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return (1 / gone - 1) * (1 + 1e-3)


# wrong: the rate is not divided by the largest
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / (curvatures[0] + 0.2)) ** TIMES
    return curvatures * (1 / gone - 1)


# wrong: divided by the smallest
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / (curvatures[-1] * 1.01)) ** TIMES
    return curvatures * (1 / gone - 1)


# wrong: descent as if it were continuous
def equal_penalty(curvatures):
    gone = 1 - np.exp(-FRACTION * TIMES * curvatures / curvatures[0])
    return curvatures * (1 / gone - 1)


# wrong: half the penalty
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return 0.5 * curvatures * (1 / gone - 1)


# wrong: one penalty for all directions
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION * curvatures / curvatures[0]) ** TIMES
    return (curvatures * (1 / gone - 1)).mean() * 1.001


# wrong: the rate twice
def equal_penalty(curvatures):
    gone = 1 - (1 - FRACTION**2 * curvatures / curvatures[0]) ** TIMES
    return curvatures * (1 / gone - 1)


# wrong: the numbers of the example
def equal_penalty(curvatures):
    return {{ answer.equal_penalty }}
