#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the library in one place at a time and sees that a test fails.

Works on a copy of the sources, so nothing here is touched. Each mutant is a small change of one file; the shared library is
built with it, and the tests of the release build run with that library until one fails: first those that are quick, then all
that are named. Prints a line per mutant, and exits with 1 when one survives.
"""

import argparse
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What breaks, the file below athanor/, what stands there, what stands there instead, the tests that are run.
TRAIN = "^(train|callbacks|model)"
QUICK = r"^(train\.(loop|update|pieces|defects|moments|several|non_finite|evaluation|meter)|checkpoint\.checkpoint_folder|data\..*|optim\.(clip|loss_scaler)|metrics\.metrics)$"
MUTANTS = [
    ("one batch of an epoch is left out", "train/loop.cpp", "position.batch >= batches_ ||", "position.batch + 1 >= batches_ ||", TRAIN),
    ("a stop is overheard", "train/loop.cpp", "if (!trainer_.stop_requested()) return false;", "return false;", TRAIN),
    ("samples are not counted", "train/loop.cpp", "position.samples += result.samples;", "", TRAIN),
    ("a validation within an epoch is forgotten", "train/loop.cpp", "if (check_is_due()) check();\n  return result;", "return result;", TRAIN),
    ("the last micro-batch weighs too much", "train/update_window.cpp",
     "static_cast<double>(batch.samples) / static_cast<double>(samples)", "1.0 / static_cast<double>(pieces.size())", TRAIN),
    ("gradients are not taken away", "train/update_window.cpp", "optimizers_[optimizer].optimizer->zero_grad();\n      pending_.clear();", "pending_.clear();", TRAIN),
    ("random numbers do not depend on the step", "train/update_window.cpp", "static_cast<uint64_t>(context.step()), optimizer, micro", "uint64_t{0}, optimizer, micro", TRAIN),
    ("each optimizer gets the gradients of all", "train/update_window.cpp", "optimizers_.size() > 1 && !task_.manual_optimization()", "false", TRAIN),
    ("a bad step is taken all the same", "train/update.cpp", "if (overflow || !outcome.finite) return outcome;", "", TRAIN),
    ("buffers keep what a bad step wrote", "train/update.cpp", "if (!result.finite) buffers_.restore();", "", TRAIN),
    ("a schedule moves on a skipped step", "train/update.cpp",
     "if (scaler_ && due.named.schedule && is_true(prepared.scale.found_inf)) return outcome;", "", TRAIN),
    ("a veto is overheard", "train/update.cpp", "return info.veto;", "return false;", TRAIN),
    ("a batch counts once per optimizer", "train/update.cpp", "measured = false;\n", "", TRAIN),
    ("validation in training mode", "train/evaluation.cpp", "eval_(trainer.task().nets()),", "eval_(Nets{}),", TRAIN),
    ("rolled back without leaving the batch out", "train/non_finite_guard.cpp", "left_out_.emplace_back(note.epoch, note.batch);", "", TRAIN),
    ("every bad step is forgiven", "train/non_finite_guard.cpp", "found_ += 1;", "", TRAIN),
    ("a checkpoint is not verified", "checkpoint/manifest.cpp", "if (sum != expected.crc32)", "if (false)", "^checkpoint"),
    ("retention before the new one is whole", "callbacks/checkpoints.cpp", "if (old != path) remove_folder(old);", "remove_folder(old);", TRAIN),
    ("a damaged checkpoint ends the search", "train/resumption.cpp", "damage = one_line(error);", "throw;", TRAIN),
    ("two processes on one folder", "train/run_place.cpp", "FolderLock lock = FolderLock::lock(folder);", "FolderLock lock = std::move(*FolderLock::try_lock(folder.parent_path()));", TRAIN),
    ("a signal waits for the validation", "train/loop_check.cpp", "while (t.interrupted() == 0 && evaluation.next() != nullptr)", "while (evaluation.next() != nullptr)", TRAIN),
    ("early stopping waits one check longer", "callbacks/early_stopping.cpp", "waited_ < options_.patience", "waited_ <= options_.patience", TRAIN),
    ("the best weights are not given back", "callbacks/keep_best.cpp", "if (kept_step_ == trainer.position().step) return;", "return;", TRAIN),
    ("unweighted means", "metrics/weighted_mean.cpp", "sum_.add(value, weight);\n  weight_ += weight;", "sum_.add(value, 1);\n  weight_ += 1;", "^(metrics|train|model)"),
    ("the order of an epoch is that of the first", "data/loader.cpp", "mix({seed, epoch})", "mix({seed, uint64_t{1}})", "^(data|train|model)"),
    ("the last batch is as long as the others", "data/pass.cpp", "std::min(recipe_.options.batch_size, recipe_.size - first)", "recipe_.options.batch_size", "^data"),
    ("clipping forgets the loss scale", "optim/clip.cpp", "norm_on_cpu(gradients, clip.norm_type) / unscale", "norm_on_cpu(gradients, clip.norm_type)", "^(optim|train)"),
    ("a scaler that never grows", "optim/loss_scaler.cpp", "options_.growth_factor, options_.backoff_factor", "1.0, options_.backoff_factor", "^(optim|train)"),
]


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build", "mutants"))
    parser.add_argument("--tested", default=os.path.join(ROOT, "build", "release"), help="the build whose tests run")
    parser.add_argument("--only", default="", help="mutants whose description holds this text")
    args = parser.parse_args()
    for _, name, before, _, _ in MUTANTS:
        with open(os.path.join(ROOT, "athanor", name), encoding="utf-8") as file:
            if (count := file.read().count(before)) != 1:
                sys.exit(f"{name} holds {count} times: {before}")
    copy, build = os.path.join(args.build_dir, "source"), os.path.join(args.build_dir, "build")
    files = run(["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]).stdout.split("\n")
    for name in filter(None, files):
        source, target = os.path.join(ROOT, name), os.path.join(copy, name)
        if not os.path.isfile(source):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target) or open(source, "rb").read() != open(target, "rb").read():
            shutil.copyfile(source, target)
    run(["cmake", "-S", copy, "-B", build, "-G", "Ninja", "-DATHANOR_PYTHON_ENV=" + os.path.join(ROOT, "build", "python"),
         *(f"-DATHANOR_BUILD_{part}=OFF" for part in ("TESTS", "EXAMPLES", "BENCHMARKS", "COMMAND"))], check=True)
    built = run(["cmake", "--build", build, "-j2", "--target", "athanor"])
    if built.returncode != 0:
        sys.exit(built.stdout[-3000:])
    with_mutant = {**os.environ, "LD_LIBRARY_PATH": build}

    def test(*which):
        return run(["ctest", "--test-dir", args.tested, *which, "-j2", "--stop-on-failure"], env=with_mutant)

    if test("-R", QUICK).returncode != 0:
        sys.exit("a test fails without any mutant")

    survivors = 0
    for what, name, before, after, tests in MUTANTS:
        if args.only not in what:
            continue
        path = os.path.join(copy, "athanor", name)
        with open(path, encoding="utf-8") as file:
            original = file.read()
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(original.replace(before, after))
            built = run(["cmake", "--build", build, "-j2", "--target", "athanor"])
            if built.returncode != 0:
                sys.exit(f"{what}: does not compile\n{built.stdout[-2000:]}")
            tested = test("-R", QUICK)
            if tested.returncode == 0:
                tested = test("-R", tests, "-E", QUICK)
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(original)
        failed = [line.split()[-2] for line in tested.stdout.splitlines() if line.rstrip().endswith(("(Failed)", "(SEGFAULT)", "(Timeout)", "(Subprocess aborted)"))]
        survivors += tested.returncode == 0
        print(f"{'survived' if tested.returncode == 0 else 'found':9}{what}  [{', '.join(failed)}]", flush=True)
    print(f"{survivors} mutants survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
