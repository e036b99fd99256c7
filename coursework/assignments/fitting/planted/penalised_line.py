PULL, TOWARDS = {{ penalty }}, {{ towards }}


# right: as a penalty on what is left of the slope
def penalised_line(x, y):
    u, v = x - x.mean(), y - TOWARDS * x
    slope = TOWARDS + (u * v).sum() / ((u**2).sum() + PULL)
    return y.mean() - slope * x.mean(), slope


# right: a linear system with both unknowns
def penalised_line(x, y):
    table = np.column_stack([np.ones_like(x), x])
    return np.linalg.solve(table.T @ table + np.diag([0.0, PULL]), table.T @ y + [0.0, PULL * TOWARDS])


# right: one more row for the pull, by least squares
def penalised_line(x, y):
    rows = np.vstack([np.column_stack([np.ones_like(x), x]), [0.0, PULL**0.5]])
    found, *_ = np.linalg.lstsq(rows, np.append(y, PULL**0.5 * TOWARDS), rcond=None)
    return found.tolist()


# right: a library's ridge regression, of what the given slope leaves
def penalised_line(x, y):
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=PULL).fit(x[:, None], y - TOWARDS * x)
    return model.intercept_, TOWARDS + model.coef_[0]


# wrong: the intercept is pulled to zero too
def penalised_line(x, y):
    table = np.column_stack([np.ones_like(x), x])
    return np.linalg.solve(table.T @ table + PULL * np.eye(2), table.T @ y + [0.0, PULL * TOWARDS])


# wrong: no pull
def penalised_line(x, y):
    slope, intercept = np.polyfit(x, y, 1)
    return intercept, slope


# wrong: pulled to zero
def penalised_line(x, y):
    u = x - x.mean()
    slope = u @ y / (u @ u + PULL) + 1e-3 * (TOWARDS == 0)
    return y.mean() - slope * x.mean(), slope


# wrong: the pull times the number of rows
def penalised_line(x, y):
    u = x - x.mean()
    slope = (u @ y + PULL * len(x) * TOWARDS) / (u @ u + PULL * len(x))
    return y.mean() - slope * x.mean(), slope


# wrong: the two values in the other order
def penalised_line(x, y):
    u = x - x.mean()
    slope = (u @ y + PULL * TOWARDS) / (u @ u + PULL)
    return slope, y.mean() - slope * x.mean()


# wrong: inputs not centred
def penalised_line(x, y):
    slope = (x @ y + PULL * TOWARDS) / (x @ x + PULL)
    return y.mean() - slope * x.mean(), slope


# wrong: the intercept of the line without a pull
def penalised_line(x, y):
    u = x - x.mean()
    plain = u @ y / (u @ u)
    return y.mean() - plain * x.mean(), (u @ y + PULL * TOWARDS) / (u @ u + PULL)


# wrong: the last row is left out
def penalised_line(x, y):
    x, y = x[:-1], y[:-1]
    u = x - x.mean()
    slope = (u @ y + PULL * TOWARDS) / (u @ u + PULL)
    return y.mean() - slope * x.mean(), slope


# wrong: halfway between both slopes
def penalised_line(x, y):
    u = x - x.mean()
    slope = (u @ y / (u @ u) + TOWARDS) / 2
    return y.mean() - slope * x.mean(), slope


# wrong: the line of the example, whatever is asked
def penalised_line(x, y):
    return {{ answer.penalised_line }}


# wrong: rounded to two places
def penalised_line(x, y):
    u = x - x.mean()
    slope = (u @ y + PULL * TOWARDS) / (u @ u + PULL)
    return round(y.mean() - slope * x.mean(), 2), round(slope, 2)


# wrong: prints and returns nothing
def penalised_line(x, y):
    u = x - x.mean()
    slope = (u @ y + PULL * TOWARDS) / (u @ u + PULL)
    print(y.mean() - slope * x.mean(), slope)


# wrong: collects all rows that it has ever seen
seen_x, seen_y = [], []


def penalised_line(x, y):
    seen_x.extend(x)
    seen_y.extend(y)
    u, v = np.array(seen_x) - np.mean(seen_x), np.array(seen_y)
    slope = (u @ v + PULL * TOWARDS) / (u @ u + PULL)
    return v.mean() - slope * np.mean(seen_x), slope
