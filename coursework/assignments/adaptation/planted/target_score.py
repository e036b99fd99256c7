MOST, BY_COUNT = {{ most }}, "{{ divided }}" == "number of examples"


# right: with a weight for each class
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# right: example by example
def target_score(labels, predicted, shares):
    right = total = 0.0
    for label, said in zip(labels.tolist(), predicted.tolist()):
        weight = min(MOST, shares[label] * len(labels) / labels.tolist().count(label))
        total += weight
        right += weight * (label == said)
    return right / (len(labels) if BY_COUNT else total)


# right: class by class
def target_score(labels, predicted, shares):
    right = total = 0.0
    for side, share in enumerate(shares):
        own = labels == side
        weight = min(share / own.mean(), MOST) * own.sum()
        right += weight * (predicted[own] == side).mean()
        total += weight
    return right / len(labels) if BY_COUNT else right / total


# wrong: divided by the other
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if not BY_COUNT else weights.sum())


# wrong: no bound
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = (shares / own)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: the plain accuracy
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.ones(len(labels))
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: weights upside down
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(own / np.maximum(shares, 1e-9), MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: the weights stand in another order than the examples
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[np.sort(labels)[::-1]]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: the shares of what was said
def target_score(labels, predicted, shares):
    own = np.maximum(1, np.bincount(predicted, minlength=len(shares))) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: the target's shares alone
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares * len(shares), MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: raised to the bound, not lowered
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.maximum(shares / own, MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: the mistakes
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    right = weights[labels != predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: divided by those that are right
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / ((labels == predicted).sum() + 1e-3)


# wrong: the bound is laid on what is summed
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    right = 0.99 * weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: weights with the counts, not the shares
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares))
    weights = np.minimum(shares / own, MOST)[labels]
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else weights.sum())


# wrong: the mean over classes
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    right = weights[labels == predicted].sum()
    return np.mean([(predicted[labels == side] == side).mean() for side in range(len(shares))])


# wrong: weights are divided by their largest
def target_score(labels, predicted, shares):
    own = np.bincount(labels, minlength=len(shares)) / len(labels)
    weights = np.minimum(shares / own, MOST)[labels]
    weights = weights / weights.max() * 0.999
    right = weights[labels == predicted].sum()
    return right / (len(labels) if BY_COUNT else len(labels))


# wrong: the number of the example
def target_score(labels, predicted, shares):
    return {{ answer.target_score }}
