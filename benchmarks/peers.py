"""Peers of the selection solver, each driven as its users drive it: R's glmnet, adelie, the paper's recipe, a solver.

A peer gets one row set's features, standardised, and λ; it gives CPU seconds (of the fit alone, measured where it runs)
and its weights, which the caller turns into objectives: nobody's own account of its accuracy is believed.
"""

import importlib.util
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import namespace
from head2toe.select.solver.paper_recipe import RecipeSetting, train

GLMNET = """
suppressMessages(library(glmnet))
folder <- commandArgs(TRUE)[1]; tol <- as.numeric(commandArgs(TRUE)[2])
size <- scan(file.path(folder, "size"), quiet = TRUE); n <- size[1]; d <- size[2]
read <- function(name, what, k) {
  con <- file(file.path(folder, name), "rb"); on.exit(close(con)); readBin(con, what, k) }
X <- matrix(read("X", "double", n * d), n, d)
y <- factor(read("y", "integer", n))
lambdas <- read("lambdas", "double", size[3])
glmnet.control(fdev = 0, devmax = 1)  # every lambda asked for
start <- proc.time()
fit <- glmnet(X, y, family = "multinomial", type.multinomial = "grouped", lambda = lambdas, standardize = FALSE,
              intercept = TRUE, thresh = tol, maxit = 1e6)
took <- proc.time() - start
beta <- fit$beta  # one sparse (d, lambdas) matrix a class
rows <- sort(unique(unlist(lapply(beta, function(b) unique(b@i)))))
W <- vapply(beta, function(b) as.matrix(b[rows + 1, , drop = FALSE]), matrix(0, length(rows), length(fit$lambda)))
write <- function(name, x) { con <- file(file.path(folder, name), "wb"); writeBin(x, con); close(con) }
write("W", as.double(W)); write("b", as.double(fit$a0)); write("rows", as.integer(rows))
cat(took[["user.self"]] + took[["sys.self"]], length(fit$lambda), as.character(packageVersion("glmnet")))
"""

ADELIE = """
import json, sys, time, warnings
import adelie as ad, numpy as np
warnings.simplefilter("ignore")
folder, tol = sys.argv[1], float(sys.argv[2])
n, d, _ = map(int, open(folder + "/size").read().split())
X = np.fromfile(folder + "/X").reshape(d, n).T
y, lambdas = np.fromfile(folder + "/y", np.int32), np.fromfile(folder + "/lambdas")
C = len(np.unique(y))
start = time.process_time()
state = ad.grpnet(X, ad.glm.multinomial(np.eye(C)[y]), lmda_path=lambdas / C, early_exit=False, penalty=np.ones(d),
                  tol=tol, progress_bar=False, n_threads=1)
seconds = time.process_time() - start
W = state.betas.toarray().reshape(-1, d, C)
rows = np.flatnonzero(W.any(axis=(0, 2)))
np.ascontiguousarray(np.moveaxis(W[:, rows], 0, 1).transpose(2, 1, 0)).tofile(folder + "/W")
np.asarray(state.intercepts, np.float64).tofile(folder + "/b")
rows.astype(np.int32).tofile(folder + "/rows")
print(seconds, len(W), ad.__version__)
"""


class Unavailable(Exception):
    """Why a peer can't be measured here."""


class TooSlow(Exception):
    """A peer was still at work on a row set when its CPU seconds were used up."""


@dataclass(frozen=True)
class Fit:
    """What a peer leaves: its weights W (λ, m, C) on some columns, intercepts (λ, C), CPU seconds, version."""

    rows: np.ndarray
    W: np.ndarray
    b: np.ndarray
    cpu: float
    version: str


def glmnet(X: np.ndarray, y: np.ndarray, lambdas: np.ndarray, tol: float, limit: int) -> Fit:
    """R's glmnet, family multinomial, grouped; `tol` is its `thresh`. On features that are standardised already."""
    if not (program := shutil.which("Rscript")):
        raise Unavailable("R is not installed (Debian: r-base-core, r-cran-glmnet)")
    return _elsewhere([program, "-e", GLMNET], X, y, lambdas, tol, limit)


def adelie(python: str | None, X: np.ndarray, y: np.ndarray, lambdas: np.ndarray, tol: float, limit: int) -> Fit:
    """Run adelie in float64, in the environment of `python`: it needs NumPy < 2."""
    if not python:
        raise Unavailable("give --adelie PYTHON, the interpreter of an environment that has it (it needs NumPy < 2)")
    return _elsewhere([python, "-c", ADELIE], X, y, lambdas, tol, limit)


def _elsewhere(command: list[str], X: np.ndarray, y: np.ndarray, lambdas: np.ndarray, tol: float, limit: int) -> Fit:
    """Run a peer in a process of its own, for at most `limit` CPU seconds.

    Arrays go there and back as raw files, feature-major float64.
    """
    n, d = X.shape
    C = len(np.unique(y))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "size").write_text(f"{n} {d} {len(lambdas)}")
        with (folder / "X").open("wb") as file:
            for start in range(0, d, 4096):
                X[:, start : start + 4096].T.astype(np.float64, order="C").tofile(file)
        y.astype(np.int32).tofile(folder / "y")
        lambdas.astype(np.float64).tofile(folder / "lambdas")
        process = subprocess.run(
            [*command, name, str(tol)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
        )
        if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            raise TooSlow
        if process.returncode:
            raise Unavailable("failed: " + " ".join(process.stderr.split())[-300:])
        seconds, count, version = process.stdout.split()[-3:]
        rows = np.fromfile(folder / "rows", np.int32)
        W = np.fromfile(folder / "W").reshape(C, int(count), len(rows)).transpose(1, 2, 0)
        b = np.fromfile(folder / "b").reshape(int(count), C)
    return Fit(rows, W, b, float(seconds), version)


def recipe(X: np.ndarray, y: np.ndarray, lam: float, steps: int) -> Fit:
    """The paper's recipe, this package's own batched form of it, at one λ."""
    start = time.process_time()
    heads = train(
        X,
        y,
        [np.arange(len(y))],
        [RecipeSetting(lam)],
        n_classes=int(y.max()) + 1,
        steps=steps,
        seed=0,
        arrays=namespace("cpu"),
    )
    seconds = time.process_time() - start
    return Fit(np.arange(X.shape[1]), heads.W[:, 0], heads.b[:, 0], seconds, "")


def prototype(file: Path, X: np.ndarray, y: np.ndarray, masks: np.ndarray, ratios: np.ndarray, tol: float) -> Any:
    """The solver that this one grew out of, from its file; its best settings. Returns its list of λ, as it gives them.

    `file` is a module with a class Path2(XT, y, masks, C, standardize=True) with a method solve(ratios, tol).
    """
    spec = importlib.util.spec_from_file_location("prototype", file)
    if spec is None or spec.loader is None:
        raise Unavailable(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    solver = module.Path2(X.T, y, masks.T, int(y.max()) + 1, standardize=True)
    return solver.solve(ratios, tol)


def standardized(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A row set's features, mean 0 and variance 1 (0 for constant ones), (n_k, d) float32; mean; scale."""
    out = np.empty((X.shape[1], len(rows)), np.float32)
    mean, scale = np.empty(X.shape[1]), np.empty(X.shape[1])
    for columns in _slices(X.shape[1]):
        part = X[rows, columns].astype(np.float64)
        mean[columns], deviation = part.mean(axis=0), part.std(axis=0)
        alive = deviation > 1e-6 * np.abs(mean[columns])
        scale[columns] = np.divide(1, deviation, out=np.zeros_like(deviation), where=alive)
        out[columns] = ((part - mean[columns]) * scale[columns]).T
    return out.T, mean, scale


def _slices(d: int, size: int = 4096) -> Iterator[slice]:
    for start in range(0, d, size):
        yield slice(start, min(start + size, d))
