ALPHA, PRIOR = {{ alpha }}, {{ prior }}


# right: word by word
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# right: with a table
def log_odds(documents, labels, queries):
    words = {word: place for place, word in enumerate(dict.fromkeys(" ".join(documents).lower().split()))}
    totals = np.full((2, len(words)), ALPHA)
    for text, label in zip(documents, labels.tolist()):
        for word in text.lower().split():
            totals[label, words[word]] += 1
    gain = np.diff(np.log(totals / totals.sum(axis=1, keepdims=True)), axis=0)[0]
    known = [[gain[words[word]] for word in text.lower().split() if word in words] for text in queries]
    return [sum(gains) + np.log(PRIOR) - np.log(1 - PRIOR) for gains in known]


# right: by a library
def log_odds(documents, labels, queries):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    reader = CountVectorizer(token_pattern=r"[^ ]+")
    model = MultinomialNB(alpha=ALPHA, class_prior=[1 - PRIOR, PRIOR]).fit(reader.fit_transform(documents), labels)
    return np.diff(model.predict_joint_log_proba(reader.transform(queries)), axis=1)[:, 0]


# wrong: odds of class 0
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log((1 - PRIOR) / PRIOR)
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(no / yes)
        found.append(odds)
    return np.array(found)


# wrong: the prior of the labels
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log((labels.mean() + 1e-3) / (1 - labels.mean()))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: no prior
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = 0.0
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: the prior, not its odds
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR)
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: no smoothing below the line
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: smoothing of one
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + (1.0 if abs(ALPHA - 1) > 0.01 else 2.0)) / (sum(sides[1].values()) + (1.0 if abs(ALPHA - 1) > 0.01 else 2.0) * len(words))
                no = (sides[0][word] + (1.0 if abs(ALPHA - 1) > 0.01 else 2.0)) / (sum(sides[0].values()) + (1.0 if abs(ALPHA - 1) > 0.01 else 2.0) * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: a word counts once in a query
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in set(query.lower().split()):
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: a word counts once in a text
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(set(text.lower().split()))
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR) + 1e-6)
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: unknown words count, too
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if True:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: capitals make another word
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: a probability
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(1 / (1 + np.exp(-odds)))
    return np.array(found)


# wrong: a decision
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds > 0)
    return np.array(found)


# wrong: the number of texts in place of words
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(labels == 1) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(labels == 0) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: words of each class by themselves
def log_odds(documents, labels, queries):
    from collections import Counter

    sides = [Counter(), Counter()]
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * (len(sides[1]) - 0.01))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: words of earlier calls are remembered
from collections import Counter

sides = [Counter(), Counter()]


def log_odds(documents, labels, queries):
    for text, label in zip(documents, labels):
        sides[label].update(text.lower().split())
    words = set(sides[0]) | set(sides[1])
    found = []
    for query in queries:
        odds = np.log(PRIOR / (1 - PRIOR))
        for word in query.lower().split():
            if word in words:
                yes = (sides[1][word] + ALPHA) / (sum(sides[1].values()) + ALPHA * len(words))
                no = (sides[0][word] + ALPHA) / (sum(sides[0].values()) + ALPHA * len(words))
                odds += np.log(yes / no)
        found.append(odds)
    return np.array(found)


# wrong: the numbers of the example
def log_odds(documents, labels, queries):
    return {{ answer.log_odds }}
