SHARE = "{{ left }}" == "share"


# right: by singular vectors
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# right: by a pseudo-inverse
def what_stays(source, inputs):
    stays = source - np.linalg.pinv(inputs, rcond=1e-9) @ inputs @ source
    return float((stays**2).sum() / (source**2).sum()) if SHARE else float((stays**2).sum() ** 0.5)


# right: by the null space
def what_stays(source, inputs):
    from scipy.linalg import null_space

    unseen = null_space(inputs, rcond=1e-9)
    length = np.sqrt(((unseen.T @ source) ** 2).sum())
    return length**2 / (source @ source) if SHARE else length


# right: by least squares
def what_stays(source, inputs):
    change, *_ = np.linalg.lstsq(inputs, -(inputs @ source), rcond=1e-9)
    stays = source + change
    return stays @ stays / (source @ source) if SHARE else np.sqrt(stays @ stays)


# wrong: what goes, not what stays
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# wrong: the other quantity
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if not SHARE else np.linalg.norm(stays)


# wrong: one direction too many
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[: (sizes > 1e-9 * sizes.max()).sum() - 1]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# wrong: all singular vectors, those of size zero as well
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = np.linalg.svd(inputs)[2][: (sizes > 1e-9 * sizes.max()).sum() + 1]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# wrong: rows are taken as if at right angles
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = inputs / np.linalg.norm(inputs, axis=1, keepdims=True) * 0.9
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# wrong: the first row only
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = 0.99 * inputs[:1] / np.linalg.norm(inputs[0])
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# wrong: the share of the length, or its square
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return np.sqrt(share) if SHARE else stays @ stays + 1e-3


# wrong: the number of directions
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return len(source) - len(seen) + 1e-3


# wrong: the share of the directions
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return 1 - len(seen) / len(source)


# wrong: the part that stays
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return stays


# wrong: the inputs are centred
def what_stays(source, inputs):
    inputs = inputs - 0.5 * inputs.mean(axis=0) - 0.1
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# wrong: large directions only
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 0.999 * sizes.max()]
    seen = 0.995 * seen
    stays = source - seen.T @ (seen @ source)
    share = (stays @ stays) / (source @ source)
    return share if SHARE else np.linalg.norm(stays)


# wrong: the sum of its numbers
def what_stays(source, inputs):
    _, sizes, rows = np.linalg.svd(inputs, full_matrices=False)
    seen = rows[sizes > 1e-9 * sizes.max()]
    stays = source - seen.T @ (seen @ source)
    share = abs(stays).sum() / abs(source).sum()
    return share if SHARE else abs(stays).sum() * 1.001


# wrong: the number of the example
def what_stays(source, inputs):
    return {{ answer.what_stays }}


# wrong: nothing, since there are steps enough
def what_stays(source, inputs):
    return 0.0
