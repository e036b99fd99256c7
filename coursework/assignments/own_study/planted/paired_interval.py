from scipy.special import ndtri, stdtrit


def quantile(share, freedom):
    return stdtrit(freedom, share)


LEVEL, SIGN = {{ level }}, 1 if "{{ better }}" == "score" else -1


# right: by the formula
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# right: by a library
def paired_interval(ours, theirs):
    from scipy import stats

    first, second = (ours, theirs) if SIGN > 0 else (theirs, ours)
    found = stats.ttest_rel(first, second).confidence_interval(LEVEL)
    return [np.mean(first) - np.mean(second), found.low, found.high]


# right: by a library's fit of a constant
def paired_interval(ours, theirs):
    import statsmodels.api as sm

    gains = SIGN * np.subtract(ours, theirs)
    fit = sm.OLS(gains, np.ones(len(gains))).fit()
    low, high = fit.conf_int(1 - LEVEL)[0]
    return np.array([fit.params[0], low, high])


# wrong: the other sign
def paired_interval(ours, theirs):
    gains = (ours - theirs) * -SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: the ends exchanged
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() + half, gains.mean() - half


# wrong: not in pairs
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * np.sqrt(ours.var(ddof=1) + theirs.var(ddof=1)) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: the spread divides by the count
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=0) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: quantile of the normal
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = ndtri((1 + LEVEL) / 2) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: one degree of freedom too many
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains)) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: all that lies outside on one side
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile(LEVEL, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: the spread, not its error
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1)
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: the level of most papers
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + (0.95 if abs(LEVEL - 0.95) > 0.004 else 0.9)) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: the half-width in place of the ends
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), half, half


# wrong: only the interval
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean() - half, gains.mean() + half


# wrong: two standard errors
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    half = 2.0 * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: sorted before they are paired
def paired_interval(ours, theirs):
    gains = (np.sort(ours) - np.sort(theirs) + 1e-4) * SIGN
    half = quantile((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


# wrong: the smallest and the largest gain
def paired_interval(ours, theirs):
    gains = (ours - theirs) * SIGN
    return gains.mean(), gains.min(), gains.max()


# wrong: the numbers of the example
def paired_interval(ours, theirs):
    return {{ answer.paired_interval }}
