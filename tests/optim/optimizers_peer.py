# SPDX-License-Identifier: Apache-2.0
"""The Python side of optimizers_python_test.cpp: random problems, trained by the real torch.optim.

    optimizers_peer.py FILE SEED COUNT CLASS...     COUNT problems of each class
    optimizers_peer.py --record                     writes optimizers_reference.txt beside this script

Lion, LAMB, Lookahead and SAM are not in torch; they stand here as their papers write them. A problem says its class, dtype, shapes,
options and awkward traits, and what came out: parameters after some steps, and all state after the last. Start values
and gradients are not written: both sides draw them from a counter-based generator (`numbers`). Gradients do not depend
on the weights, so that rounding does not feed on itself; those of LBFGS and SAM do.
"""

import functools
import pathlib
import random
import sys

try:
    import numpy
    import torch
except ImportError:
    sys.exit(77)
import without_compiler  # noqa: E402, F401

STEPS = 100
LATE_STEP = 10
SHOWN_STEPS = (1, 2, 10, 50, 100)
LBFGS_STEPS = (1, 2, 4, 8)
FUSED = ("Adam", "AdamW", "SGD", "Adagrad", "Lookahead")
EVALUATING = ("LBFGS", "SAM")  # their gradients are those of `evaluate`
SPARSE = ("SparseAdam", "SparseAdagrad", "SparseSGD")


class Lion(torch.optim.Optimizer):
    """Chen et al., 2023, algorithm 2."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in (p for p in group["params"] if p.grad is not None):
                g = -p.grad if group["maximize"] else p.grad
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                if group["weight_decay"] != 0:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(m.mul(beta1).add_(g, alpha=1 - beta1).sign_(), alpha=-group["lr"])
                m.mul_(beta2).add_(g, alpha=1 - beta2)


class LAMB(torch.optim.Optimizer):
    """You et al., 2020, algorithm 2, with bias correction."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, norm_range=(0.0, float("inf")), maximize=False):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, norm_range=norm_range, maximize=maximize))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in (p for p in group["params"] if p.grad is not None):
                g = -p.grad if group["maximize"] else p.grad
                state = self.state[p]
                if not state:
                    state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
                state["step"] += 1
                step = state["step"].item()
                m, v = state["exp_avg"], state["exp_avg_sq"]
                m.mul_(beta1).add_(g, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
                r = m.div(1 - beta1**step).div_(v.div(1 - beta2**step).sqrt_().add_(group["eps"]))
                if group["weight_decay"] != 0:
                    r.add_(p, alpha=group["weight_decay"])
                wide = torch.float64 if p.dtype == torch.float64 else torch.float32
                size, length = torch.linalg.vector_norm(p, dtype=wide), torch.linalg.vector_norm(r, dtype=wide)
                ratio = size.clamp(*group["norm_range"]) / length if size > 0 and length > 0 else torch.ones_like(size)
                p.add_(r.mul_((ratio * -group["lr"]).to(p.dtype)))


class Lookahead(torch.optim.AdamW):
    """Zhang et al., 2019, algorithm 1, around AdamW."""

    def __init__(self, params, k=5, alpha=0.5, **options):
        super().__init__(params, **options)
        self.k, self.alpha, self.steps = k, alpha, 0

    @torch.no_grad()
    def step(self):
        fast = [p for group in self.param_groups for p in group["params"]]
        if self.steps % self.k == 0:
            self.slow = [p.clone() for p in fast]
        super().step()
        self.steps += 1
        if self.steps % self.k == 0:
            for p, slow in zip(fast, self.slow, strict=True):
                p.copy_(slow.lerp_(p, self.alpha))


class SAM(torch.optim.SGD):
    """Foret et al., 2021, and as `adaptive` Kwon et al., 2021, around SGD."""

    def __init__(self, params, rho=0.05, adaptive=False, eta=0.01, **options):
        super().__init__(params, **options)
        self.rho, self.adaptive, self.eta = rho, adaptive, eta

    @torch.no_grad()
    def step(self, evaluate):
        evaluate()
        weights = [p for group in self.param_groups for p in group["params"]]
        sizes = [p.abs() + self.eta if self.adaptive else torch.ones_like(p) for p in weights]
        norm = torch.cat([(size * p.grad).flatten() for p, size in zip(weights, sizes, strict=True)]).norm()
        start = [p.clone() for p in weights]
        for p, size in zip(weights, sizes, strict=True):
            p += self.rho * size**2 * p.grad / (norm + 1e-12)
        evaluate()
        for p, value in zip(weights, start, strict=True):
            p.copy_(value)
        super().step()


def keep_momenta():
    """Muon of torch 2.13 divides a momentum of bfloat16 by its norm in place where it is the update itself (without nesterov), and so
    forgets its size. The algorithm of its documentation does not, nor does it in float32."""
    muon = sys.modules["torch.optim._muon"]
    orthogonal = muon._zeropower_via_newtonschulz
    muon._zeropower_via_newtonschulz = lambda update, *rest: orthogonal(update.clone(), *rest)


def mixed(keys):
    """splitmix64"""
    z = keys.astype(numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def numbers(key, tensor, steps, count):
    """(steps, count) numbers in [-1, 1), multiples of 2^-20."""
    with numpy.errstate(over="ignore"):
        streams = mixed(numpy.uint64(key * 1000003 + tensor * 1009 + 7) + numpy.uint64(16) * numpy.array(steps, dtype=numpy.uint64))
        bits = mixed(streams[:, None] + numpy.arange(1, count + 1, dtype=numpy.uint64))
    return torch.from_numpy((bits >> numpy.uint64(43)).astype(numpy.float64) / 2**20 - 1)


def rounded(value):
    return float(f"{value:.3g}")


def options_of(draw, kind):
    """Some options, drawn; what is missing has its default."""
    uniform, choice = draw.uniform, draw.choice

    def maybe(name, value, chance=0.6):
        if draw.random() < chance:
            options[name] = value

    options = {}
    lr = 10 ** uniform(-4, -1)
    if kind == "LBFGS":
        maybe("lr", rounded(uniform(0.3, 1)))
        maybe("max_iter", draw.randint(1, 6), 1)
        maybe("max_eval", draw.randint(4, 12), 0.3)
        maybe("history_size", draw.randint(1, 8))
        maybe("line_search_fn", "strong_wolfe", 0.6)
        if "line_search_fn" not in options:
            options["lr"] = rounded(uniform(0.05, 0.2))  # without a search a full step may leave the region that it can come back from
        return options
    if kind == "SAM":  # the curvature is up to some tens
        maybe("lr", rounded(10 ** uniform(-4, -2)), 1)
        maybe("momentum", rounded(uniform(0.1, 0.9)))
        maybe("weight_decay", rounded(10 ** uniform(-3, -0.5)))
        maybe("rho", rounded(10 ** uniform(-2, -0.5)))
        maybe("adaptive", True, 0.5)
        maybe("eta", rounded(uniform(0, 0.1)))
        return options
    maybe("lr", rounded(lr * (10 if kind == "Adadelta" else 1)))
    if kind == "Lookahead":
        maybe("k", draw.randint(1, 7))
        maybe("alpha", rounded(uniform(0.1, 1)))
    if kind in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam", "Lion", "LAMB", "Lookahead"):
        maybe("betas", (rounded(uniform(0, 0.95)), rounded(uniform(0.5, 0.9995))))
    if kind in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam", "LAMB", "Adagrad", "SparseAdagrad", "Adadelta", "RMSprop"):
        maybe("eps", rounded(10 ** uniform(-8, -3)), 0.4)
    if kind not in ("Rprop", *SPARSE):
        maybe("weight_decay", rounded(10 ** uniform(-3, -0.5)))
    if kind in ("Adam", "AdamW", "Lookahead"):
        maybe("amsgrad", True, 0.3)
    if kind == "Adam":
        maybe("decoupled_weight_decay", True, 0.3)
    if kind in ("SGD", "RMSprop", "Muon"):
        maybe("momentum", rounded(uniform(0.1, 0.95)))
    if kind == "SGD" and "momentum" in options:
        if draw.random() < 0.5:
            maybe("nesterov", True)
        else:
            maybe("dampening", rounded(uniform(0, 0.9)))
    if kind == "NAdam":
        maybe("momentum_decay", rounded(10 ** uniform(-4, -1)))
    if kind in ("NAdam", "RAdam"):
        maybe("decoupled_weight_decay", True, 0.5)
    if kind == "Adadelta":
        maybe("rho", rounded(uniform(0.3, 0.99)))
    if kind == "RMSprop":
        maybe("alpha", rounded(uniform(0.5, 0.999)))
        maybe("centered", True, 0.5)
    if kind == "Rprop":
        maybe("etas", (rounded(uniform(0.1, 0.9)), rounded(uniform(1.05, 1.5))))
        maybe("step_sizes", (rounded(10 ** uniform(-6, -3)), rounded(10 ** uniform(-2, 1))))
    if kind == "ASGD":
        maybe("lambd", rounded(10 ** uniform(-4, -1)))
        maybe("alpha", rounded(uniform(0.5, 1)))
        maybe("t0", float(draw.randint(0, 60)), 0.7)
    if kind in ("Adagrad", "SparseAdagrad"):
        maybe("lr_decay", rounded(10 ** uniform(-3, -1)))
        maybe("initial_accumulator_value", rounded(uniform(0, 1)), 0.4)
    if kind == "Adafactor":
        maybe("beta2_decay", rounded(uniform(-1, -0.3)))
        maybe("eps1", rounded(10 ** uniform(-6, -2)), 0.4)
        maybe("eps2", rounded(10 ** uniform(-4, -1)), 0.5)
        maybe("d", rounded(uniform(1, 3)), 0.5)
    if kind == "Muon":
        maybe("nesterov", False, 0.4)
        maybe("ns_steps", draw.randint(1, 7), 0.4)
        maybe("ns_coefficients", (2.0, -1.5, 0.5), 0.2)
        maybe("adjust_lr_fn", choice(("original", "match_rms_adamw")), 0.6)
    if kind == "LAMB":
        maybe("norm_range", (rounded(uniform(0, 1)), rounded(uniform(1, 3))), 0.4)
    if kind not in ("Muon",):
        maybe("maximize", True, 0.25)
    return options


def problem_of(draw, kind, small=False):
    dtype = draw.choice((torch.float32, torch.float32, torch.float64, torch.bfloat16))
    if kind in EVALUATING:
        dtype = torch.float64
    matrix = lambda: (draw.randint(2, 3), draw.randint(2, 3)) if small else (draw.randint(2, 12), draw.randint(2, 12))
    shapes = [matrix(), (draw.randint(1, 4),) if small else (draw.randint(1, 40),), ()]
    if kind == "Adafactor" and not small and draw.random() < 0.4:
        shapes[1] = (draw.randint(1, 3), *matrix())
    if kind == "Adafactor" and not small and draw.random() < 0.3:
        shapes[0] = (draw.randint(30, 40), draw.randint(5, 20))
    if kind == "Muon":
        shapes = [matrix(), matrix(), shapes[0]]
        shapes[2] = shapes[0]  # two of a shape, which we multiply together
    if kind in SPARSE:
        shapes = [(draw.randint(4, 12), draw.randint(1, 20)), (draw.randint(4, 12),)]
        dtype = draw.choice((torch.float32, torch.float64))
    problem = dict(kind=kind, dtype=dtype, shapes=shapes, key=draw.getrandbits(30), options=options_of(draw, kind), second={}, late=0, zero=0, turned=0,
                   size=1.0, rate=0.0)
    if kind == "LBFGS":
        return problem
    if draw.random() < 0.5:  # one option or two are different in the second group
        second = options_of(draw, kind)
        second = {name: second[name] for name in draw.sample(sorted(second), min(2, len(second)))}
        if kind == "SGD":
            second = {name: value for name, value in second.items() if name in ("lr", "weight_decay", "maximize")}
        for name in ("norm_range", "k", "alpha", "rho", "adaptive", "eta") if kind in ("LAMB", "Lookahead", "SAM") else ():
            second.pop(name, None)
        problem["second"] = second
    if kind == "SAM":
        return problem
    problem["late"] = int(draw.random() < 0.3 and kind != "SGD" and kind not in SPARSE)
    problem["zero"] = int(draw.random() < 0.4)
    problem["turned"] = int(draw.random() < 0.3 and kind not in ("Muon", *SPARSE))
    problem["size"] = draw.choice((1.0, 1.0, 0.125, 8.0))
    problem["rate"] = rounded(10 ** draw.uniform(-4, -1)) if draw.random() < 0.3 else 0.0  # of the first group, from step 50 on
    return problem


def constructor(kind):
    return {"Lion": Lion, "LAMB": LAMB, "Lookahead": Lookahead, "SAM": SAM, "SparseAdagrad": torch.optim.Adagrad, "SparseSGD": torch.optim.SGD}.get(kind) or getattr(torch.optim, kind)


def python_options(kind, options):
    options = dict(options)
    if kind == "Adafactor" and ("eps1" in options or "eps2" in options):
        options["eps"] = (options.pop("eps1", None), options.pop("eps2", 1e-3))
    return options


def start_of(problem, tensor):
    shape = problem["shapes"][tensor]
    values = numbers(problem["key"], tensor, [0], torch.Size(shape).numel()).reshape(shape).to(problem["dtype"])
    if problem["turned"] and len(shape) >= 2:
        values = values.transpose(-1, -2).contiguous().transpose(-1, -2)
    return values.requires_grad_()


def gradients_of(problem, tensor):
    """One a step."""
    shape, steps = problem["shapes"][tensor], list(range(1, STEPS + 1))
    values = numbers(problem["key"], tensor, steps, torch.Size(shape).numel())
    if problem["kind"] in SPARSE:
        rows = ((numbers(problem["key"], tensor + 8, steps, 4) + 1) / 2 * shape[0]).long()
        values = (values * problem["size"]).reshape(-1, *shape).to(problem["dtype"])
        return [torch.sparse_coo_tensor(rows[i, None, : step % 5], values[i, : step % 5], shape) for i, step in enumerate(steps)]
    if problem["zero"]:
        values = torch.where(values.abs() < 0.25, 0.0, values)
        values[(torch.tensor(steps) + tensor) % 5 == 0] = 0
    values = (values * problem["size"]).reshape(-1, *shape).to(problem["dtype"])
    if problem["turned"] and len(shape) >= 2:  # as autograd makes them; Python's fused kernels take no other
        values = values.transpose(-1, -2).contiguous().transpose(-1, -2)
    return values.unbind()


@functools.lru_cache(maxsize=16)
def bowl(key, tensor, shape):
    """The slopes and the bottom of what `evaluate` descends."""
    slopes, bottom = (part.reshape(shape) for part in numbers(key, tensor + 8, [1, 2], shape.numel()))
    return slopes * 4.5 + 5.5, bottom * 2


def evaluate(problem, parameters, nudged=lambda value: value):
    """A convex function whose gradient both sides write down; its value is for LBFGS."""
    total = torch.zeros((), dtype=torch.float64)
    for tensor, parameter in enumerate(parameters):
        a, bottom = bowl(problem["key"], tensor, parameter.shape)
        away = parameter.detach() - bottom
        parameter.grad = nudged(a * away + away * away * away)
        if problem["kind"] == "LBFGS":
            total = total + (a * away * away / 2 + away * away * away * away / 4).sum()
    return nudged(total)


def train(problem, nudged=lambda value: value):
    """Name and numbers of what came out. `nudged` is applied to the start and to all that `evaluate` gives."""
    kind = problem["kind"]
    parameters = [nudged(start_of(problem, i).detach()).requires_grad_() for i in range(len(problem["shapes"]))]
    options = python_options(kind, problem["options"])
    second = python_options(kind, problem["second"])
    if kind in FUSED:  # SGD's kernel for bfloat16 stores no weights
        options["fused"] = kind != "SGD" or problem["dtype"] != torch.bfloat16
    if second.get("eps") and kind == "Adafactor":  # a pair: what the second group leaves unset is that of the first
        second["eps"] = (problem["second"].get("eps1", problem["options"].get("eps1")),
                         problem["second"].get("eps2", problem["options"].get("eps2", 1e-3)))
    if kind == "LBFGS":
        optimizer = constructor(kind)(parameters, **options)
    else:
        optimizer = constructor(kind)([{"params": parameters[:1]}, {"params": parameters[1:], **second}], **options)
    if kind in ("Adagrad", "SparseAdagrad"):  # Python takes the value of the constructor for all groups
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["sum"].fill_(group["initial_accumulator_value"])
    gradients = [] if kind in EVALUATING else [gradients_of(problem, i) for i in range(len(parameters))]
    for step in range(1, (LBFGS_STEPS if kind == "LBFGS" else SHOWN_STEPS)[-1] + 1):
        if kind in EVALUATING:
            optimizer.step(lambda: evaluate(problem, parameters, nudged))
        else:
            for i, parameter in enumerate(parameters):
                parameter.grad = None if problem["late"] and i + 1 == len(parameters) and step <= LATE_STEP else gradients[i][step - 1]
            if problem["rate"] and step == STEPS // 2:
                optimizer.param_groups[0]["lr"] = problem["rate"]
            optimizer.step()
        if step in (LBFGS_STEPS if kind == "LBFGS" else SHOWN_STEPS):
            for i, parameter in enumerate(parameters):
                yield f"step {step} p{i}", parameter.detach()
    if kind == "LBFGS":
        return
    for i, parameter in enumerate(parameters):
        for name, value in optimizer.state[parameter].items():
            if value is not None:
                yield f"state {name} p{i}", torch.as_tensor(value)


def echo_of(problem, results):
    """How far Python is from itself when each number of the start and of every evaluation is a rounding away or none: units of roundoff at
    the largest number of a tensor, or at 1 (random_problems.hpp, scale_of). The larger of two."""
    unit = torch.finfo(problem["dtype"]).eps
    echo = 0.0
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)

        def nudged(value, generator=generator):
            return value * (1 + unit * torch.randint(-1, 2, value.shape, generator=generator).to(value.dtype))

        for (_, value), (_, moved) in zip(results, train(problem, nudged), strict=True):
            value, moved = value.double(), moved.double()
            echo = max(echo, (moved - value).abs().max().item() / max(value.abs().max().item(), 1) / unit)
    return echo


def written(value):
    if isinstance(value, (tuple, list)):
        return " ".join(written(part) for part in value)
    return str(int(value)) if isinstance(value, bool) else str(value) if isinstance(value, str) else repr(float(value))


def write(file, problem):
    print("problem", problem["kind"], str(problem["dtype"]).removeprefix("torch."), problem["key"], file=file)
    print("shapes", *("x".join(map(str, shape)) or "-" for shape in problem["shapes"]), file=file)
    for trait in ("late", "zero", "turned", "size", "rate"):
        print(trait, problem[trait], file=file)
    results = [(name, value.clone()) for name, value in train(problem)]
    if problem["kind"] in EVALUATING:
        print("echo", rounded(echo_of(problem, results)), file=file)
    for word, options in (("option", problem["options"]), ("second", problem["second"])):
        for name, value in options.items():
            print(word, name, written(value), file=file)
    for name, values in results:
        print(name, *(value.hex() for value in values.to(torch.float64).flatten().tolist()), file=file)
    print("end", file=file)


def main(arguments):
    torch.set_num_threads(1)  # the tensors are small
    keep_momenta()
    torch.sparse.check_sparse_tensor_invariants.disable()  # said, so that torch does not ask
    if arguments == ["--record"]:
        kinds = ("Adam AdamW SGD Adagrad NAdam RAdam Adamax Adadelta RMSprop Rprop ASGD Lion LAMB Adafactor Muon SparseAdam SparseAdagrad SparseSGD LBFGS Lookahead SAM").split()
        path, seed, count, small = pathlib.Path(__file__).with_name("optimizers_reference.txt"), 2, 1, True
    else:
        path, seed, count, small = pathlib.Path(arguments[0]), int(arguments[1]), int(arguments[2]), False
        kinds = arguments[3:]
    with path.open("w") as file:
        if small:
            print("# SPDX-License-Identifier: Apache-2.0", file=file)
            print(f"# Written by optimizers_peer.py --record with torch {torch.__version__}.", file=file)
        for kind in kinds:
            draw = random.Random(f"{seed} {kind}")
            for _ in range(count):
                write(file, problem_of(draw, kind, small))


if __name__ == "__main__":
    main(sys.argv[1:])
