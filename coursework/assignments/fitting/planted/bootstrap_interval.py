# right: all samples at once
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = sample[rng.integers(len(sample), size=(1_000, len(sample)))].mean(axis=1)
    return np.quantile(means, [(1 - {{ level }}) / 2, (1 + {{ level }}) / 2])


# right: one sample after the other
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = sorted(rng.choice(sample, len(sample)).mean() for _ in range(1_000))
    outside = round(1_000 * (1 - {{ level }}) / 2)
    return means[outside], means[-outside - 1]


# right: a library's
def bootstrap_interval(sample, seed):
    from scipy.stats import bootstrap

    found = bootstrap(
        (sample,), np.mean, n_resamples=1_000, confidence_level={{ level }}, method="percentile",
        rng=np.random.default_rng(seed),
    )
    return found.confidence_interval.low, found.confidence_interval.high


# wrong: without replacement
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = [rng.permutation(sample).mean() for _ in range(1_000)]
    return np.quantile(means, [(1 - {{ level }}) / 2, (1 + {{ level }}) / 2])


# wrong: all that lies outside on one side
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (1_000, len(sample))).mean(axis=1)
    return np.quantile(means, [1 - {{ level }}, 1.0])


# wrong: as much outside on either side as should be outside in all
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (1_000, len(sample))).mean(axis=1)
    return np.quantile(means, [1 - {{ level }}, {{ level }}])


# wrong: quantiles of the sample
def bootstrap_interval(sample, seed):
    return np.quantile(sample, [(1 - {{ level }}) / 2, (1 + {{ level }}) / 2])


# wrong: the upper end first
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (1_000, len(sample))).mean(axis=1)
    return np.quantile(means, [(1 + {{ level }}) / 2, (1 - {{ level }}) / 2])


# wrong: samples of half the size
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (1_000, len(sample) // 2)).mean(axis=1)
    return np.quantile(means, [(1 - {{ level }}) / 2, (1 + {{ level }}) / 2])


# wrong: one standard deviation to either side
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (1_000, len(sample))).mean(axis=1)
    half = means.std() * (0.2 if abs({{ level }} - 0.68) > 0.15 else 2)
    return means.mean() - half, means.mean() + half


# wrong: medians
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = np.median(rng.choice(sample, (1_000, len(sample))), axis=1)
    return np.quantile(means, [(1 - {{ level }}) / 2, (1 + {{ level }}) / 2])


# wrong: the normal formula, without drawing anything
def bootstrap_interval(sample, seed):
    from scipy.stats import norm

    half = norm.ppf((1 + {{ level }}) / 2) * sample.std(ddof=1) / len(sample) ** 0.5
    return sample.mean() - half, sample.mean() + half


# wrong: ten samples only
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (10, len(sample))).mean(axis=1)
    return np.quantile(means, [(1 - {{ level }}) / 2, (1 + {{ level }}) / 2])


# wrong: the level of most books
def bootstrap_interval(sample, seed):
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (1_000, len(sample))).mean(axis=1)
    return np.quantile(means, [0.025, 0.975])


# wrong: the first call's answer again and again
def bootstrap_interval(sample, seed, kept=[]):
    if not kept:
        rng = np.random.default_rng(seed)
        means = rng.choice(sample, (1_000, len(sample))).mean(axis=1)
        kept.extend(np.quantile(means, [(1 - {{ level }}) / 2, (1 + {{ level }}) / 2]))
    return kept


# wrong: nothing at all
def bootstrap_interval(sample, seed):
    return None
