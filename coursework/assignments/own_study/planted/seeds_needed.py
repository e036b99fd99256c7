from scipy.special import ndtri, stdtrit


def quantile(share, freedom):
    return stdtrit(freedom, share)


SURE, HALF = {{ sure }}, {{ half }}


# right: by a table
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in spreads]


# right: by trying
def seeds_needed(spreads):
    from scipy import stats

    def enough(seeds, spread):
        low, high = stats.t.interval(SURE, seeds - 1, loc=0, scale=spread / seeds**0.5)
        return high <= HALF

    found = []
    for spread in spreads:
        seeds = 2
        while not enough(seeds, spread):
            seeds += 1
        found.append(seeds)
    return np.array(found)


# right: by halving
def seeds_needed(spreads):
    found = []
    for spread in spreads:
        low, high = 1, 4_096
        while high - low > 1:
            middle = (low + high) // 2
            wide = -quantile((1 - SURE) / 2, middle - 1) * spread * middle**-0.5 if middle > 1 else np.inf
            low, high = (middle, high) if wide > HALF else (low, middle)
        found.append(high)
    return tuple(found)


# wrong: quantile of the normal
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = ndtri((1 + SURE) / 2) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in spreads]


# wrong: one degree of freedom too many
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in spreads]


# wrong: the whole width
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF / 2)]) for spread in spreads]


# wrong: half of the half
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= 2 * HALF)]) for spread in spreads]


# wrong: all that lies outside on one side
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile(SURE, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in spreads]


# wrong: one too many
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) + 1 for spread in spreads]


# wrong: one too few
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) - 1 for spread in spreads]


# wrong: the variance in place of the spread
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread**2 <= HALF)]) for spread in spreads]


# wrong: divided by the number, not by its root
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / seeds
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in spreads]


# wrong: the number for the largest spread
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in [spreads.max() * 1.5] * len(spreads)]


# wrong: a number that is not whole
def seeds_needed(spreads):
    return (ndtri((1 + SURE) / 2) * spreads / HALF) ** 2
    seeds = np.arange(2, 2_000)
    factors = quantile((1 + SURE) / 2, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in spreads]


# wrong: the level of most papers
def seeds_needed(spreads):
    seeds = np.arange(2, 2_000)
    factors = quantile(0.9995, seeds - 1) / np.sqrt(seeds)
    return [int(seeds[np.argmax(factors * spread <= HALF)]) for spread in spreads]


# wrong: five, as everybody
def seeds_needed(spreads):
    return np.full(len(spreads), 5)


# wrong: the numbers of the example
def seeds_needed(spreads):
    return {{ answer.seeds_needed }}
