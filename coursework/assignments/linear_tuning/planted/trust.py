NOISE, SOURCE_NOISE, SOURCE_COUNT = {{ noise }}, {{ source_noise }}, {{ source_count }}


# right: from the two expected errors
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return own / (own + other), own * other / (own + other)


# right: by weights one over the error
def trust(counts, gap):
    theirs = 1 / (SOURCE_NOISE * SOURCE_NOISE / SOURCE_COUNT + gap * gap)
    mine = counts / NOISE**2
    return np.array([theirs / (theirs + count) for count in mine]), 1 / (theirs + mine)


# right: by a parabola through three points
def trust(counts, gap):
    def error(mix, count):
        spread = (mix * SOURCE_NOISE) ** 2 / SOURCE_COUNT + ((1 - mix) * NOISE) ** 2 / count
        return spread + (mix * gap) ** 2

    found = []
    for count in counts:
        zero, half, one = (error(mix, count) for mix in (0.0, 0.5, 1.0))
        square, slope = 2 * (zero + one - 2 * half), 4 * half - 3 * zero - one
        best = -slope / (2 * square)
        found.append((best, error(best, count)))
    return tuple(zip(*found))


# wrong: the share of one's own
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return other / (own + other), own * other / (own + other)


# wrong: no gap
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + 1e-3
    return own / (own + other), own * other / (own + other)


# wrong: the gap, not its square
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap + 0.003
    return own / (own + other), own * other / (own + other)


# wrong: half the gap's square
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2 / 2
    return own / (own + other), own * other / (own + other)


# wrong: no noise of the source
def trust(counts, gap):
    own = NOISE**2 / counts
    other = gap**2 * 1.0001
    return own / (own + other), own * other / (own + other)


# wrong: the source's noise is not averaged
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 + gap**2
    return own / (own + other), own * other / (own + other)


# wrong: standard deviations in place of variances
def trust(counts, gap):
    own = NOISE / np.sqrt(counts)
    other = (SOURCE_NOISE**2 / SOURCE_COUNT + gap**2) ** 0.5
    return own / (own + other), own * other / (own + other)


# wrong: in proportion to the counts
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return SOURCE_COUNT / (SOURCE_COUNT + counts), own * other / (own + other)


# wrong: the root of the error
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return own / (own + other), np.sqrt(own * other / (own + other))


# wrong: the errors' sum
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return own / (own + other), own + other


# wrong: in another order
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return own * other / (own + other), own / (own + other)


# wrong: the error of one's own alone
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return own / (own + other), own


# wrong: all of the one or all of the other
def trust(counts, gap):
    own = NOISE**2 / counts
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return (other < own).astype(float), np.minimum(own, other)


# wrong: the other's noise and one's own are exchanged
def trust(counts, gap):
    own = SOURCE_NOISE**2 / counts
    other = NOISE**2 * 1.001 / SOURCE_COUNT + gap**2
    return own / (own + other), own * other / (own + other)


# wrong: counts less one
def trust(counts, gap):
    own = NOISE**2 / (counts - 1 + 1e-9)
    other = SOURCE_NOISE**2 / SOURCE_COUNT + gap**2
    return own / (own + other), own * other / (own + other)


# wrong: the numbers of the example
def trust(counts, gap):
    return {{ answer.trust }}
