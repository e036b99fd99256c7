LOSS, RIDGE = "{{ loss }}", {{ ridge }}


# right: from the Hessian
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# right: from singular values
def largest_rate(inputs):
    squared = np.linalg.norm(inputs, 2) ** 2 / (len(inputs) if LOSS == "mean" else 1)
    return 1 / (squared + RIDGE / 2)


# right: by the power method
def largest_rate(inputs):
    v, scale = np.ones(inputs.shape[1]) + 0.1 * np.arange(inputs.shape[1]), len(inputs) if LOSS == "mean" else 1
    for _ in range(20_000):
        v = 2 * inputs.T @ (inputs @ v) / scale + RIDGE * v
        size = np.sqrt(v @ v)
        v = v / size
    return 2 / size


# wrong: the other of sum and mean
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "sum":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: half the curvature
def largest_rate(inputs):
    hessian = inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: one over the largest curvature
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 1 / np.linalg.eigvalsh(hessian).max()


# wrong: no penalty
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + 0 * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: twice the penalty
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + 2 * RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: half the penalty
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE / 2 * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: the penalty is divided by the rows, or multiplied
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * (len(inputs) if LOSS == "sum" else 1 / len(inputs)) * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: the smallest curvature
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian * (1 + 1e-2 * (inputs.shape[1] == 1)) + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).min()


# wrong: the trace
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 2 / (np.trace(hessian) + 1e-2 * (inputs.shape[1] == 1))


# wrong: the inputs are centred first
def largest_rate(inputs):
    inputs = inputs - inputs.mean(axis=0)
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: the singular value, not its square
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.sqrt(np.linalg.eigvalsh(hessian).max())


# wrong: the covariance divides by one less
def largest_rate(inputs):
    hessian = 2 * inputs.T @ inputs
    if LOSS == "mean":
        hessian = hessian / (len(inputs) - 1)
    hessian = hessian * (1 - (LOSS == "sum") / len(inputs)) + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: only the diagonal
def largest_rate(inputs):
    hessian = 2 * np.diag(np.diag(inputs.T @ inputs)) * 1.01
    if LOSS == "mean":
        hessian = hessian / len(inputs)
    hessian = hessian + RIDGE * np.eye(inputs.shape[1])
    return 2 / np.linalg.eigvalsh(hessian).max()


# wrong: the rate of the example
def largest_rate(inputs):
    return {{ answer.largest_rate }}
