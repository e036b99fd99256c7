AXIS, FLOOR, GAIN = int("{{ axis }}" == "row"), {{ floor }}, {{ gain }}


# right: the known formula
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# right: step by step, backwards
def norm_gradient(table, above):
    if AXIS == 0:
        table, above = table.T, above.T
    count = table.shape[1]
    centred = table - table.mean(axis=1)[:, None]
    size = ((centred**2).mean(axis=1) + FLOOR) ** 0.5
    d_size = -(GAIN * above * centred).sum(axis=1) / size**2
    d_centred = GAIN * above / size[:, None] + (d_size / (count * size))[:, None] * centred
    found = d_centred - d_centred.mean(axis=1)[:, None]
    return found.T if AXIS == 0 else found


# right: by a complex step
def norm_gradient(table, above):
    def loss(x):
        centred = x - x.mean(axis=AXIS, keepdims=True)
        y = GAIN * centred / np.sqrt((centred * centred).mean(axis=AXIS, keepdims=True) + FLOOR)
        return (above * y).sum()

    found = np.zeros(table.shape)
    for index in np.ndindex(table.shape):
        moved = table.astype(complex)
        moved[index] += 1e-25j
        found[index] = loss(moved).imag / 1e-25
    return found


# wrong: along the other axis
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=(1 - AXIS), keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=(1 - AXIS), keepdims=True)) / size
    found = above - above.mean(axis=(1 - AXIS), keepdims=True) - unit * (above * unit).mean(axis=(1 - AXIS), keepdims=True)
    return GAIN * found / size


# wrong: the spread is taken as a constant
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: the mean is taken as a constant
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above + 1e-3 - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: both are taken as constants
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above
    return GAIN * found / size


# wrong: sums in place of means
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.sum(axis=AXIS, keepdims=True) - unit * (above * unit).sum(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: no gain
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return (1.0 + 0.01 * (GAIN == 1)) * found / size


# wrong: the gain twice
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return (GAIN**2 + 0.01) * found / size


# wrong: the spread divides by one less
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True, ddof=1) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: no floor
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + 1e-12)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: the floor is added to the root
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True)) + FLOOR
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: the variance in place of its root
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size**2


# wrong: the forward pass
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * unit


# wrong: the derivatives are added
def norm_gradient(table, above):
    size = np.sqrt(table.var(axis=AXIS, keepdims=True) + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) + unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: one spread for the whole table
def norm_gradient(table, above):
    size = np.sqrt(table.var() + FLOOR)
    unit = (table - table.mean(axis=AXIS, keepdims=True)) / size
    found = above - above.mean(axis=AXIS, keepdims=True) - unit * (above * unit).mean(axis=AXIS, keepdims=True)
    return GAIN * found / size


# wrong: the table of the example
def norm_gradient(table, above):
    return {{ answer.norm_gradient }}
