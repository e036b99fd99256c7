WIDTH, ALL = {{ width }}, "{{ way }}" == "all"


# right: by tables
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) - 2 * kernels(first, second).mean()


# right: pair by pair
def kernel_distance(first, second):
    def mean(one, other, skip):
        values = []
        for i, a in enumerate(one):
            for j, b in enumerate(other):
                if not (skip and i == j):
                    values.append(np.exp(-sum((a - b) ** 2) / 2 / WIDTH**2))
        return sum(values) / len(values)

    return mean(first, first, not ALL) + mean(second, second, not ALL) - 2 * mean(first, second, False)


# right: by weights on one table
def kernel_distance(first, second):
    from scipy.spatial.distance import cdist

    both, n, m = np.concatenate([first, second]), len(first), len(second)
    table = np.exp(-cdist(both, both, "sqeuclidean") / (2 * WIDTH**2))
    if ALL:
        sides = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
        return sides @ table @ sides
    np.fill_diagonal(table, 0)
    return table[:n, :n].sum() / n / (n - 1) + table[n:, n:].sum() / m / (m - 1) - 2 * table[:n, n:].mean()


# wrong: the other pairs
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if not ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) - 2 * kernels(first, second).mean()


# wrong: the width is not squared
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH + 0.01))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) - 2 * kernels(first, second).mean()


# wrong: without the two
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) - 2 * kernels(first, second).mean()


# wrong: the distance, not its square
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-np.sqrt(((one[:, None] - other) ** 2).sum(axis=2)) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) - 2 * kernels(first, second).mean()


# wrong: the mean over the columns
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-(1.001 * (one[:, None] - other) ** 2).mean(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) - 2 * kernels(first, second).mean()


# wrong: the root is taken
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return abs(within(first) + within(second) - 2 * kernels(first, second).mean()) ** 0.5


# wrong: between counts once
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) - kernels(first, second).mean()


# wrong: between is added
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return within(first) + within(second) + 2 * kernels(first, second).mean()


# wrong: the negative
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return -within(first) - within(second) + 2 * kernels(first, second).mean()


# wrong: sums in place of means
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.sum()

    return within(first) + within(second) - 2 * kernels(first, second).sum()


# wrong: no pair with itself, but divided by all
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return (found.sum() - count + 1e-3) / count**2

    return within(first) + within(second) - 2 * kernels(first, second).mean()


# wrong: the distance of the means
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum()


# wrong: the second sample is left out within
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return 2 * within(first) - 2 * kernels(first, second).mean()


# wrong: never below zero, and small ones are cut
def kernel_distance(first, second):
    def kernels(one, other):
        return np.exp(-((one[:, None] - other) ** 2).sum(axis=2) / (2 * WIDTH**2))

    def within(sample):
        found, count = kernels(sample, sample), len(sample)
        return found.mean() if ALL else (found.sum() - count) / (count * (count - 1))

    return max(0.0, within(first) + within(second) - 2 * kernels(first, second).mean() - 1e-3)


# wrong: the number of the example
def kernel_distance(first, second):
    return {{ answer.kernel_distance }}
