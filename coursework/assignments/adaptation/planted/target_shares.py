LEAST = {{ least }}


# right: by the inverse
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(np.linalg.inv(rates.T) @ said, LEAST, None)
    return shares / shares.sum()


# right: by the weights of the classes
def target_shares(confusion, predicted):
    joint, count = confusion.T / confusion.sum(), len(confusion)
    weights = np.linalg.solve(joint, [(predicted == side).mean() for side in range(count)])
    shares = [max(LEAST, weight * share) for weight, share in zip(weights, joint.sum(axis=0))]
    return [share / sum(shares) for share in shares]


# right: by least squares
def target_shares(confusion, predicted):
    rates = np.array([row / sum(row) for row in confusion])
    said = (predicted[:, None] == np.arange(len(rates))).mean(axis=0)
    shares = np.linalg.lstsq(rates.T, said, rcond=None)[0]
    shares = np.where(shares < LEAST, LEAST, shares)
    return shares / np.sum(shares)


# wrong: what the classifier says, uncorrected
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(said, LEAST, None)
    return shares / shares.sum()


# wrong: the table is not transposed
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(np.linalg.inv(rates) @ said, LEAST, None)
    return shares / shares.sum()


# wrong: columns add up to one
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=0, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(np.linalg.inv(rates.T) @ said, LEAST, None)
    return shares / shares.sum()


# wrong: multiplied by the table, not by its inverse
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(rates.T @ said, LEAST, None)
    return shares / shares.sum()


# wrong: the shares of the source
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(confusion.sum(axis=1) / confusion.sum(), LEAST, None)
    return shares / shares.sum()


# wrong: the joint table, weights in place of shares
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum()
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(np.linalg.inv(rates.T) @ said, LEAST, None)
    return shares / shares.sum()


# wrong: cut at zero only
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(np.linalg.inv(rates.T) @ said, 0, None)
    return shares / shares.sum()


# wrong: not cut
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.linalg.inv(rates.T) @ said
    return shares / shares.sum()


# wrong: divided by the sum, then cut
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.linalg.inv(rates.T) @ said
    return np.clip(shares / shares.sum(), LEAST, None)


# wrong: not divided by the sum
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(np.linalg.inv(rates.T) @ said, LEAST, None)
    return shares


# wrong: small ones are dropped to zero
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.linalg.inv(rates.T) @ said
    shares = np.where(shares < LEAST, 0, shares)
    return shares / shares.sum()


# wrong: the size of what is below zero
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = abs(np.linalg.inv(rates.T) @ said)
    return shares / shares.sum()


# wrong: counts, not shares, and the floor among them
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion))
    shares = np.clip(np.linalg.inv(rates.T) @ said, LEAST, None)
    return shares / shares.sum()


# wrong: a softmax
def target_shares(confusion, predicted):
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    said = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    shares = np.clip(np.linalg.inv(rates.T) @ said, LEAST, None)
    return np.exp(shares) / np.exp(shares).sum()


# wrong: the shares of the example
def target_shares(confusion, predicted):
    return {{ answer.target_shares }}
