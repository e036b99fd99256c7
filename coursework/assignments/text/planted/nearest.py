TIE = "{{ tie }}"


# right: one by one
def nearest(vectors, queries):
    found = []
    for query in queries:
        best, place = -1.0, -1
        for number, vector in enumerate(vectors):
            if query.any() and vector.any():
                cosine = query @ vector / np.linalg.norm(query) / np.linalg.norm(vector)
                if cosine > best + 1e-9 or (TIE == "last" and cosine > best - 1e-9):
                    best, place = max(best, cosine), number
        found.append(place)
    return found


# right: all at once; a query's own length changes nothing
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# right: by a key for sorting
def nearest(vectors, queries):
    def answer(query):
        able = [place for place in range(len(vectors)) if vectors[place].any()]
        if not query.any() or not able:
            return -1
        cosines = {place: vectors[place] @ query / (vectors[place] @ vectors[place]) ** 0.5 for place in able}
        most = max(cosines.values())
        near = [place for place in able if cosines[place] > most - 1e-9 * (query @ query) ** 0.5]
        return near[0] if TIE == "first" else near[-1]

    return np.array([answer(query) for query in queries])


# wrong: the other of those alike
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "first":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: the scalar product
def nearest(vectors, queries):
    one = vectors
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: the smallest distance
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = 1 - ((queries[:, None] - vectors) ** 2).sum(axis=2) / 100
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: the farthest
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = -(queries @ one.T)
    cosines[:, ~vectors.any(axis=1)] = -99
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: a query of zeros is near the first
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    return found


# wrong: counted from one
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found + 1


# wrong: the answers of the rows, not of the queries
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = one @ queries.T
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    return found


# wrong: the cosine, not the number
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return np.sort(cosines, axis=1)[:, -1]


# wrong: one answer for all queries
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found[0]


# wrong: the next nearest
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    cosines[np.arange(len(queries)), cosines.argmax(axis=1)] = -2
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: vectors are centred first
def nearest(vectors, queries):
    shifted = vectors - vectors.mean(axis=0)
    one = shifted / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: divided by the sum of the numbers
def nearest(vectors, queries):
    one = vectors / np.maximum(vectors.sum(axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = -1
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: rows of zeros are not left out, and come out near
def nearest(vectors, queries):
    one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cosines = queries @ one.T
    cosines[:, ~vectors.any(axis=1)] = 9
    if TIE == "last":
        found = cosines.shape[1] - 1 - np.round(cosines, 9)[:, ::-1].argmax(axis=1)
    else:
        found = np.round(cosines, 9).argmax(axis=1)
    found[~queries.any(axis=1)] = -1
    return found


# wrong: the numbers of the example
def nearest(vectors, queries):
    return {{ answer.nearest }}
