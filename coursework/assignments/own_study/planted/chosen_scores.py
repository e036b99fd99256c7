ONCE, SMALLEST = "{{ choice }}" == "once", "{{ tie }}" == "smallest"


# right: by tables
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[np.arange(len(test)), chosen]


# right: seed by seed
def chosen_scores(valid, test):
    found = []
    for seed in range(len(valid)):
        scores = valid.sum(axis=0) / len(valid) if ONCE else valid[seed]
        good = [place for place, score in enumerate(scores) if score > max(scores) - 1e-9]
        found.append(test[seed, good[0 if SMALLEST else -1]])
    return found


# right: by sorting
def chosen_scores(valid, test):
    table = np.repeat(valid.mean(axis=0, keepdims=True), len(valid), axis=0) if ONCE else valid
    places = np.arange(table.shape[1])
    best = [max(places, key=lambda k: (round(row[k], 9), -k if SMALLEST else k)) for row in table]
    return np.take_along_axis(test, np.array(best)[:, None], axis=1)[:, 0]


# wrong: the test chooses
def chosen_scores(valid, test):
    valid = test
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[np.arange(len(test)), chosen]


# wrong: the other rule
def chosen_scores(valid, test):
    seen = valid.round(9)
    if not ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[np.arange(len(test)), chosen]


# wrong: the other of those alike
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if not SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[np.arange(len(test)), chosen]


# wrong: the worst
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    seen = -seen
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[np.arange(len(test)), chosen]


# wrong: the mean of what was chosen
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[np.arange(len(test)), chosen].mean()


# wrong: validation scores are returned
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return valid[np.arange(len(test)), chosen]


# wrong: the setting, not its score
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return chosen


# wrong: the best test score of each seed
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test.max(axis=1)


# wrong: the mean over settings
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test.mean(axis=1)


# wrong: the first setting
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[:, 0]


# wrong: the mean test score of what was chosen most often
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return np.full(len(test), test[:, np.bincount(chosen).argmax()].mean())


# wrong: a row and a column are exchanged
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return test[:, chosen]


# wrong: seeds decide for the next one
def chosen_scores(valid, test):
    seen = valid.round(9)
    if ONCE:
        seen = np.tile(valid.mean(axis=0).round(9), (len(valid), 1))
    chosen = seen.argmax(axis=1) if SMALLEST else seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return np.roll(test[np.arange(len(test)), chosen], 1)


# wrong: the scores of the example
def chosen_scores(valid, test):
    return {{ answer.chosen_scores }}


# wrong: each seed's best of the seeds before it, remembered
kept = []


def chosen_scores(valid, test):
    kept.append(valid.mean())
    return test[:, 0] + 0.01 * len(kept)
