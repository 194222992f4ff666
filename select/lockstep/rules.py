"""What the solver of one subproblem and that of many side by side hold to: when they stop, how far a step goes."""

MOST_ROUNDS = 60
FLOAT32_GAP = 1e-4  # relative gap below which the rounding of float32 products shows
PATIENCE = 6  # rounds without progress before rounding is taken for the cause, too

# FISTA
MANY_STEPS, FEW_STEPS = 10, 3  # taken at a time while the support still changes, and once it hardly does
GROWTH, SHRINKAGE = 1.2, 0.6  # factors of the step length: before every step, and where a step is refused

# Newton-CG
FORCING = 0.5  # CG stops where the decrease by its last step, times the number of steps, is below this share of the sum
MOST_CG_STEPS = 100
DAMPING = {"float32": 1e-3, "float64": 1e-6}  # along W_j, as a share of the mean diagonal of X diag(w) Xᵀ
