# SPDX-License-Identifier: Apache-2.0
"""Problems of ranking and of language models, with scikit-learn and torchmetrics.

torchmetrics takes documents with equal scores in any order; where a problem has such, its functions are asked for every
order, and the mean of these is the reference.
"""

import itertools

import numpy as np
import torch
from peer import part
from sklearn.metrics import ndcg_score

perplexity = part("torchmetrics.functional.text.perplexity").perplexity
tmf = part("torchmetrics.functional.retrieval")
part("torchmetrics").Metric = part("torchmetrics.metric").Metric  # asked for by the classes
tm = part("torchmetrics.retrieval")

torch.set_num_threads(1)

FUNCTIONS = {"mrr": tmf.retrieval_reciprocal_rank, "map": tmf.retrieval_average_precision, "hit_rate": tmf.retrieval_hit_rate,
             "precision": tmf.retrieval_precision, "recall": tmf.retrieval_recall}
CLASSES = {"mrr": tm.RetrievalMRR, "map": tm.RetrievalMAP, "hit_rate": tm.RetrievalHitRate, "precision": tm.RetrievalPrecision,
           "recall": tm.RetrievalRecall, "ndcg": tm.RetrievalNormalizedDCG}
CASES = ("random", "tied", "all tied", "one query", "one document", "no relevant ones", "all relevant")
ACTIONS = {"zero": "neg", "one": "pos", "skip": "skip"}


def orders(scores, targets, worst):
    """The targets in every order that the scores allow, or in the one with the least relevant first among equals."""
    documents = sorted(zip(scores, targets), key=lambda each: (-each[0], each[1]))
    if worst:
        return [[target for _, target in documents]]
    groups = [[target for _, target in group] for _, group in itertools.groupby(documents, key=lambda each: each[0])]
    return [sum(map(list, order), []) for order in itertools.product(*(itertools.permutations(group) for group in groups))]


def mean_over_orders(function, scores, targets, k, worst):
    found = []
    for order in orders(scores, targets, worst):
        distinct = torch.arange(len(order), 0, -1).double()
        found.append(float(function(distinct, torch.tensor(order), top_k=k)))
    return sum(found) / len(found)


def binary(random, case):
    """Flat documents, whose queries are mixed."""
    queries = 1 if case == "one query" else random.randint(2, 5)
    rows = []
    for query in range(queries):
        documents = 1 if case == "one document" else random.randint(1, 5)
        levels = 1 if case == "all tied" else 3 if case == "tied" else 1000
        scores = [random.randint(1, levels) / 64 for _ in range(documents)]
        if case not in ("tied", "all tied"):
            scores = random.sample([i / 64 for i in range(1, 1000)], documents)
        for score in scores:
            target = 0 if case == "no relevant ones" else 1 if case == "all relevant" else random.randint(0, 1)
            rows.append((query * 7 - 3, score, target))
    if case == "no relevant ones":
        rows.append((100, 0.5, 1))
    random.shuffle(rows)
    k = random.choice([None, 1, 2, 3, 10])
    worst = random.random() < 0.3
    empty = random.choice(list(ACTIONS))
    by_query = {}
    for query, score, target in rows:
        by_query.setdefault(query, []).append((score, target))
    values = {}
    indexes, scores, targets = (torch.tensor(column) for column in zip(*rows))
    tied = any(len({score for score, _ in each}) < len(each) for each in by_query.values())
    for name, function in FUNCTIONS.items():
        found = []
        for documents in by_query.values():
            if any(target for _, target in documents):
                found.append(mean_over_orders(function, *zip(*documents), k, worst))
            elif empty != "skip":
                found.append(1 if empty == "one" else 0)
        values[name] = sum(found) / len(found) if found else None
        if not tied and found:
            whole = CLASSES[name](top_k=k, empty_target_action=ACTIONS[empty])
            values["torchmetrics:" + name] = float(whole(scores.double(), targets, indexes=indexes))
    return {"family": "binary", "case": case, "queries": indexes.tolist(), "scores": scores.tolist(), "targets": targets.tolist(),
            "k": k, "worst": worst, "empty": empty, "values": values}


def graded(random, case):
    """Rows of documents."""
    queries = 1 if case == "one query" else random.randint(2, 5)
    documents = random.randint(2, 12)
    levels = {"tied": 3, "all tied": 1}.get(case, 1000)
    scores = np.array([[random.randint(1, levels) / 64 for _ in range(documents)] for _ in range(queries)])
    targets = np.array([[0 if case == "no relevant ones" else 3 if case == "all relevant" else random.randint(0, 3)
                         for _ in range(documents)] for _ in range(queries)])
    k = random.choice([None, 1, 2, 5, 20])
    values = {"ndcg/linear": ndcg_score(targets, scores, k=k), "ndcg/exponential": ndcg_score(2.0**targets - 1, scores, k=k)}
    flat = torch.arange(queries).repeat_interleave(documents)
    whole = tm.RetrievalNormalizedDCG(top_k=k)
    values["torchmetrics:ndcg/linear"] = float(whole(torch.tensor(scores).flatten(), torch.tensor(targets).flatten(), indexes=flat))
    worst = np.array([[row for row in orders(s, t, True)[0]] for s, t in zip(scores, targets)])
    values["ndcg/worst"] = ndcg_score(worst, np.arange(documents, 0, -1)[None].repeat(queries, 0), k=k)
    return {"family": "graded", "case": case, "shape": [queries, documents], "scores": scores.flatten().tolist(),
            "targets": targets.flatten().tolist(), "k": k, "values": values}


def language(random, case):
    sequences, length, vocabulary = {"one token": (1, 1, 5), "large": (3, 5, 400)}.get(
        case, (random.randint(1, 4), random.randint(1, 6), random.randint(2, 12)))
    generator = torch.Generator().manual_seed(random.randint(0, 10**6))
    logits = torch.randn(sequences, length, vocabulary, generator=generator, dtype=torch.float64) * 3
    logits = (logits * 64).round() / 64
    target = torch.randint(vocabulary, (sequences, length), generator=generator)
    if case == "ignored":
        target[0, 0] = 1
        target.flatten()[1:][torch.rand(target.numel() - 1, generator=generator) < 0.4] = -100
    elif case == "all wrong":
        target = logits.argmin(-1)
    values = {"perplexity": float(perplexity(logits, target, ignore_index=-100))}
    return {"family": "language", "case": case, "shape": [sequences, length, vocabulary], "scores": logits.flatten().tolist(),
            "targets": target.flatten().tolist(), "values": values}


def problems(random, few):
    made = []
    for case in CASES:
        for _ in range(1 if few else 6):
            made += [binary(random, case), graded(random, case)]
    for case in ("random", "one token", "large", "ignored", "all wrong"):
        for _ in range(int(case != "large") if few else 8):
            made.append(language(random, case))
    return made
