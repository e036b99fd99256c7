AWAY, SHARE = {{ away }}, {{ share }}


# right: by a library's interpolation
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[start]


# right: by walking along
def labels_needed(budgets, transfer, scratch):
    start = AWAY if AWAY < len(budgets) else -1
    wanted = transfer[start] * SHARE
    if scratch[0] >= wanted:
        return budgets[0] / budgets[start]
    for place in range(1, len(budgets)):
        if scratch[place] >= wanted:
            way = (wanted - scratch[place - 1]) / (scratch[place] - scratch[place - 1])
            return budgets[place - 1] * (budgets[place] / budgets[place - 1]) ** way / budgets[start]
    return -1


# right: by a search
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted, low, high = SHARE * transfer[start], np.log(budgets[0]), np.log(budgets[-1])
    if scratch[-1] < wanted:
        return -1.0
    if scratch[0] >= wanted:
        return float(budgets[0] / budgets[start])
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.interp(middle, np.log(budgets), scratch) < wanted else (low, middle)
    return float(np.exp(high) / budgets[start])


# wrong: a straight line over the labels
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.interp(wanted, scratch, budgets) / budgets[start]


# wrong: logarithms to ten on the way, e on the way back
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log10(budgets))) / budgets[start]


# wrong: the next budget of the grid
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return budgets[np.searchsorted(scratch, wanted)] / budgets[start]


# wrong: the budget before it
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return budgets[max(0, np.searchsorted(scratch, wanted) - 1)] / budgets[start]


# wrong: one budget too far
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY + 1, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[start]


# wrong: one budget too early
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY - 1, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[start]


# wrong: all of it
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = 1.0 * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[start]


# wrong: not divided
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets)))


# wrong: divided by the smallest budget
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[0] / 1.0001


# wrong: upside down
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return budgets[start] / np.exp(np.interp(wanted, scratch, np.log(budgets)))


# wrong: the largest budget where it is never reached
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return budgets[-1] / budgets[start]
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[start]


# wrong: transfer and scratch are exchanged
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    transfer, scratch = scratch, transfer
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[start]


# wrong: minus one where the smallest budget does
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1] or wanted <= scratch[0]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) / budgets[start]


# wrong: the labels saved
def labels_needed(budgets, transfer, scratch):
    start = min(AWAY, len(budgets) - 1)
    wanted = SHARE * transfer[start]
    if wanted > scratch[-1]:
        return -1.0
    return np.exp(np.interp(wanted, scratch, np.log(budgets))) - budgets[start]


# wrong: the number of the example
def labels_needed(budgets, transfer, scratch):
    return {{ answer.labels_needed }}
