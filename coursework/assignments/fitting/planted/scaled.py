RULE = "{{ spread }}"


def spread_of(part, axis=0, rule=RULE):
    if rule.startswith("mean"):
        return abs(part - part.mean(axis=axis, keepdims=True)).mean(axis=axis)
    return part.std(axis=axis, ddof=int(rule.endswith("1$")))


OTHER = "mean" if RULE.startswith("standard") else "standard deviation that divides by $n$"


# right: as the text says
def scaled(train, other):
    middle, spread = train.mean(axis=0), spread_of(train)
    spread[spread == 0] = 1
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# right: column by column, with lists
def scaled(train, other):
    parts = [np.empty(part.shape) for part in (train, other)]
    for column in range(train.shape[1]):
        numbers = train[:, column].tolist()
        middle = sum(numbers) / len(numbers)
        if RULE.startswith("mean"):
            spread = sum(abs(number - middle) for number in numbers) / len(numbers) or 1.0
        else:
            count = len(numbers) - RULE.endswith("1$")
            spread = (sum((number - middle) ** 2 for number in numbers) / count) ** 0.5 or 1.0
        for part, given in zip(parts, (train, other)):
            part[:, column] = {{ centre }} + {{ width }} * (given[:, column] - middle) / spread
    return parts


# right: both at once, by one table
def scaled(train, other):
    count = len(train)
    both = np.concatenate([train, other]) - train.mean(axis=0)
    spread = spread_of(both[:count])
    both = {{ centre }} + {{ width }} * both / np.where(spread > 0, spread, 1.0)
    return both[:count], both[count:]


# wrong: other by its own numbers
def scaled(train, other):
    def one(part):
        spread = spread_of(part)
        return {{ centre }} + {{ width }} * (part - part.mean(axis=0)) / np.where(spread == 0, 1, spread)

    return one(train), one(other)


# wrong: the numbers of both parts together
def scaled(train, other):
    both = np.concatenate([train, other])
    middle, spread = both.mean(axis=0), spread_of(both)
    spread[spread == 0] = 1
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# wrong: another spread
def scaled(train, other):
    middle, spread = train.mean(axis=0), spread_of(train, rule=OTHER)
    spread[spread == 0] = 1
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# wrong: by rows
def scaled(train, other):
    def one(part):
        spread = spread_of(part, axis=1)[:, None]
        return {{ centre }} + {{ width }} * (part - part.mean(axis=1, keepdims=True)) / np.where(spread == 0, 1, spread)

    return one(train), one(other)


# wrong: one mean and one spread for the whole table
def scaled(train, other):
    middle, spread = train.mean(), spread_of(train.ravel())
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# wrong: a column that never changes gives what is no number
def scaled(train, other):
    middle, spread = train.mean(axis=0), spread_of(train)
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# wrong: a small number is added to every spread
def scaled(train, other):
    middle, spread = train.mean(axis=0), spread_of(train) + 1e-3
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# wrong: multiplied before the centre is taken off
def scaled(train, other):
    middle, spread = train.mean(axis=0), spread_of(train)
    spread[spread == 0] = 1
    return {{ width }} * (train - middle + {{ centre }}) / spread, {{ width }} * (other - middle + {{ centre }}) / spread


# wrong: the square of the spread
def scaled(train, other):
    middle, spread = train.mean(axis=0), spread_of(train) ** 2
    spread[spread == 0] = 1
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# wrong: only the training part comes back
def scaled(train, other):
    middle, spread = train.mean(axis=0), spread_of(train)
    spread[spread == 0] = 1
    return {{ centre }} + {{ width }} * (train - middle) / spread


# wrong: the numbers of the first call are kept for all later ones
kept = {}


def scaled(train, other):
    if train.shape[1] not in kept:
        spread = spread_of(train)
        kept[train.shape[1]] = train.mean(axis=0), np.where(spread == 0, 1, spread)
    middle, spread = kept[train.shape[1]]
    return {{ centre }} + {{ width }} * (train - middle) / spread, {{ centre }} + {{ width }} * (other - middle) / spread


# wrong: the parts of the example, whatever is asked
def scaled(train, other):
    return {{ answer.scaled }}
