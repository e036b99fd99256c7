# right: group by group
def test_mask(groups):
    names, taken, rows = sorted(set(groups.tolist()), reverse="{{ end }}" == "largest"), set(), 0
    for name in names:
        if rows >= {{ share }} * len(groups):
            break
        taken.add(name)
        rows += int((groups == name).sum())
    return np.array([group in taken for group in groups.tolist()])


# right: by the place of each row in the order of groups
def test_mask(groups):
    key = groups if "{{ end }}" == "smallest" else -groups
    order = np.sort(key)
    last = order[int(np.ceil({{ share }} * len(groups) - 1e-9)) - 1]
    return key <= last


# right: with cumulative counts
def test_mask(groups):
    names, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if "{{ end }}" == "largest":
        place, counts = len(names) - 1 - place, counts[::-1]
    before = np.cumsum(counts) - counts
    return (before < {{ share }} * len(groups))[place]


# wrong: from the other end
def test_mask(groups):
    key = groups if "{{ end }}" == "largest" else -groups
    last = np.sort(key)[int(np.ceil({{ share }} * len(groups) - 1e-9)) - 1]
    return key <= last


# wrong: rows, not groups
def test_mask(groups):
    return np.arange(len(groups)) < {{ share }} * len(groups)


# wrong: one group too many
def test_mask(groups):
    names, counts = np.unique(groups, return_counts=True)
    if "{{ end }}" == "largest":
        names, counts = names[::-1], counts[::-1]
    needed = np.searchsorted(np.cumsum(counts), {{ share }} * len(groups)) + 2
    return np.isin(groups, names[:needed])


# wrong: one group too few
def test_mask(groups):
    names, counts = np.unique(groups, return_counts=True)
    if "{{ end }}" == "largest":
        names, counts = names[::-1], counts[::-1]
    needed = np.searchsorted(np.cumsum(counts), {{ share }} * len(groups))
    return np.isin(groups, names[:needed])


# wrong: a share of the groups, not of the rows
def test_mask(groups):
    names = np.unique(groups)
    if "{{ end }}" == "largest":
        names = names[::-1]
    return np.isin(groups, names[: int(np.ceil({{ share }} * len(names)))])


# wrong: the mask of the training part
def test_mask(groups):
    key = groups if "{{ end }}" == "smallest" else -groups
    last = np.sort(key)[int(np.ceil({{ share }} * len(groups) - 1e-9)) - 1]
    return key > last


# wrong: places of rows in place of a mask
def test_mask(groups):
    key = groups if "{{ end }}" == "smallest" else -groups
    last = np.sort(key)[int(np.ceil({{ share }} * len(groups) - 1e-9)) - 1]
    return np.flatnonzero(key <= last)


# wrong: in the order in which groups are met
def test_mask(groups):
    taken, rows = [], 0
    for name in dict.fromkeys(groups.tolist()):
        if rows >= {{ share }} * len(groups):
            break
        taken.append(name)
        rows += int((groups == name).sum())
    return np.isin(groups, taken)


# wrong: the largest groups first
def test_mask(groups):
    names, counts = np.unique(groups, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    needed = np.searchsorted(np.cumsum(counts[order]), {{ share }} * len(groups) - 1e-9) + 1
    return np.isin(groups, names[order][:needed])


# wrong: the numbers are sorted as words
def test_mask(groups):
    names, taken, rows = sorted(set(map(str, groups)), reverse="{{ end }}" == "largest"), set(), 0
    for name in names:
        if rows >= {{ share }} * len(groups):
            break
        taken.add(name)
        rows += int((groups == int(name)).sum())
    return np.array([str(group) in taken for group in groups])


# wrong: drawn at random
def test_mask(groups):
    names = np.random.default_rng(0).permutation(np.unique(groups))
    counts = np.array([(groups == name).sum() for name in names])
    needed = np.searchsorted(np.cumsum(counts), {{ share }} * len(groups)) + 1
    return np.isin(groups, names[:needed])


# wrong: the share of the example's rows
def test_mask(groups):
    key = groups if "{{ end }}" == "smallest" else -groups
    last = np.sort(key)[min(len(groups), int(np.ceil({{ share }} * 40))) - 1]
    return key <= last
