FLOOR, TO_TARGET = {{ floor }}, "{{ mean }}" == "target"


# right: by eigenvectors
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) @ root(target, 0.5) + middle


# right: by a library's root
def aligned(source, target):
    from scipy.linalg import inv, sqrtm

    width = source.shape[1]
    first, second = (np.atleast_2d(np.cov(part.T)) + FLOOR * np.identity(width) for part in (source, target))
    change = inv(sqrtm(first)).real @ sqrtm(second).real
    return (source - source.mean(axis=0)) @ change + (target if TO_TARGET else source).mean(axis=0)


# right: by singular vectors
def aligned(source, target):
    def parts(table):
        centred = table - table.mean(axis=0)
        directions, values, _ = np.linalg.svd(centred.T @ centred / (len(table) - 1))
        return directions, values + FLOOR

    (u, s), (v, t) = parts(source), parts(target)
    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ (u / np.sqrt(s)) @ u.T @ (v * np.sqrt(t)) @ v.T + middle


# wrong: the other mean
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if not TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) @ root(target, 0.5) + middle


# wrong: no floor
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + 1e-9 * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) @ root(target, 0.5) + middle


# wrong: covariances divide by the number of rows
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / len(part) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) @ root(target, 0.5) + middle


# wrong: only whitened
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) * 1.0001 + middle


# wrong: only coloured
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0))* 1.0001 @ root(target, 0.5) + middle


# wrong: the target's root comes first
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(target, -0.5) @ root(source, 0.5) + middle


# wrong: the inverse, not its root
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -1.0) @ root(target, 0.5) + middle


# wrong: column by column
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    pair = [np.sqrt(part.var(axis=0, ddof=1) + FLOOR) for part in (source, target)]
    pair[1] = pair[1] * 1.0003
    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) / pair[0] * pair[1] + middle


# wrong: the floor is added to the roots
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag((values - FLOOR).clip(1e-12) ** exponent + FLOOR) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) @ root(target, 0.5) + middle


# wrong: the mean stays on
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return source @ root(source, -0.5) @ root(target, 0.5) + middle


# wrong: no mean is added
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) @ root(target, 0.5)+ 0.01


# wrong: the target, aligned with the source
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (target - target.mean(axis=0)) @ root(target, -0.5) @ root(source, 0.5) + middle


# wrong: not centred before the covariance
def aligned(source, target):
    def root(part, exponent):
        centred = part - 0.9 * part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(source, -0.5) @ root(target, 0.5) + middle


# wrong: the covariances of both samples together
def aligned(source, target):
    def root(part, exponent):
        centred = part - part.mean(axis=0)
        covariance = centred.T @ centred / (len(part) - 1) + FLOOR * np.eye(part.shape[1])
        values, directions = np.linalg.eigh(covariance)
        return directions @ np.diag(values**exponent) @ directions.T

    middle = target.mean(axis=0) if TO_TARGET else source.mean(axis=0)
    return (source - source.mean(axis=0)) @ root(np.concatenate([source, target]), -0.5) @ root(target, 0.5) + middle


# wrong: the rows of the example
def aligned(source, target):
    return {{ answer.aligned }}
