# SPDX-License-Identifier: Apache-2.0
"""Problems of text: BLEU, ROUGE, error rates, edit distance, exact match, and the parts that they are made of."""

import logging

import torch
from peer import part
from sacrebleu.metrics import BLEU

PorterStemmer = part("nltk.stem.porter").PorterStemmer
rouge_scorer = part("rouge_score.rouge_scorer")
char_error_rate = part("torchmetrics.functional.text.cer").char_error_rate
word_error_rate = part("torchmetrics.functional.text.wer").word_error_rate
edit_distance = part("torchmetrics.functional.text.edit").edit_distance
squad = part("torchmetrics.functional.text.squad").squad
_normalize_text = part("torchmetrics.functional.text.squad")._normalize_text
_edit_distance = part("torchmetrics.functional.text.helper")._edit_distance

logging.getLogger("sacrebleu").setLevel(logging.ERROR)
torch.set_num_threads(1)

WORDS = ["the", "The", "a", "an", "cat", "cats", "sat", "on", "mat", "running", "relational", "flies", "3.14", "1,000", "U.S.",
         "don't", "state-of-the-art", "&quot;", "&amp;lt;", "<skipped>", "na\u00efve", "\u039f\u0394\u039f\u03a3",
         "\u03a3\u0391\u03a3", "\u0130stanbul", "\u017ftra\u00dfe", "Gr\u00f6\u00dfe", "\u65e5\u672c\u8a9e", "\u4e2d\u6587\uff0c",
         "\u3002", "\U0001f600", "e\u0301", "\uff12\uff10", "\u20ac5", "$5", "\u2126", "\u212a", "12-3", "-", "...", ".", ",", "(a)",
         "x+y", "\u200b", "a\u0301", "\u01c5", "_the_", "\u00bd", "7.", ".7", "\U00010400", "An", "THE", "\u2028"]
SPACES = [" ", " ", " ", " ", "  ", "\t", "\n", "-\n", "\u00a0", "\u3000"]
SUFFIXES = ["s", "es", "ies", "sses", "ed", "eed", "ied", "ing", "at", "bl", "iz", "y", "ational", "tional", "enci", "anci", "izer",
            "bli", "alli", "entli", "eli", "ousli", "ization", "ation", "ator", "alism", "iveness", "fulness", "ousness", "aliti",
            "iviti", "biliti", "fulli", "logi", "icate", "ative", "alize", "iciti", "ical", "ful", "ness", "al", "ance", "ence", "er",
            "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "sion", "tion", "ou", "ism", "ate", "iti", "ous", "ive", "ize",
            "e", "ll", "", "alli", "yy", "ying"]
IRREGULAR = ["sky", "skies", "dying", "lying", "tying", "news", "innings", "inning", "outings", "outing", "cannings", "canning",
             "howe", "proceed", "exceed", "succeed", "dies", "died", "spied", "hopping", "falling", "hissing", "filing", "feed",
             "agreed", "bled", "sing", "controll", "roll", "geology", "enjoy", "spy", "by", "sses", "eed", "ing"]


def characters(random, length):
    planes = [(0x00, 0x7F), (0x80, 0x24F), (0x370, 0x58F), (0x1E00, 0x20CF), (0x2100, 0x2BFF), (0x2E80, 0x33FF), (0x4E00, 0x9FFF),
              (0xA640, 0xABFF), (0xF900, 0xFFEF), (0x10000, 0x10FFF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF)]
    return "".join(chr(random.randint(*random.choice(planes))) for _ in range(length))


def text(random, longest=12):
    pieces = []
    for _ in range(random.randint(0, longest)):
        pieces.append(random.choice(WORDS))
        pieces.append(random.choice(SPACES))
    if pieces and random.random() < 0.7:
        pieces.pop()
    return "".join(pieces)


def changed(random, original):
    words = original.split(" ")
    for _ in range(random.randint(0, 4)):
        place = random.randint(0, len(words))
        kind = random.randint(0, 2)
        if kind == 0:
            words.insert(place, random.choice(WORDS))
        elif words and place < len(words):
            words[place:place + 1] = [] if kind == 1 else [random.choice(WORDS)]
    return " ".join(words)


CASES = ("random", "one sample", "all empty predictions", "no overlap", "all right", "several references", "variable references",
         "characters", "long")


def pairs(random, case):
    samples = 1 if case in ("one sample", "long") else random.randint(2, 6)
    predictions, references = [], []
    for _ in range(samples):
        reference = "".join(characters(random, 20)) if case == "characters" else text(random, 60 if case == "long" else 12)
        count = random.randint(1, 3) if case == "variable references" else 3 if case == "several references" else 1
        several = [reference] + [changed(random, reference) for _ in range(count - 1)]
        prediction = changed(random, reference)
        if case == "all empty predictions":
            prediction = ""
        elif case == "no overlap":
            prediction = " ".join("qx"[i % 2] * (i + 1) for i in range(random.randint(1, 6)))
        elif case == "all right":
            prediction = reference
        predictions.append(prediction)
        references.append(several)
    return predictions, references


def bleu(random, predictions, references):
    most = max(len(each) for each in references)
    streams = [[each[i] if i < len(each) else None for each in references] for i in range(most)]
    values = []
    for tokenizer in ("13a", "intl", "char", "zh", "none"):
        smoothing = random.choice(("exp", "floor", "add-k", "none"))
        smoothing_value = random.choice((None, 0.25, 2.0)) if smoothing in ("floor", "add-k") else None
        options = {"lowercase": random.random() < 0.5, "effective_order": random.random() < 0.5,
                   "max_ngram_order": random.choice((4, 4, 2))}
        metric = BLEU(tokenize=tokenizer, smooth_method=smoothing, smooth_value=smoothing_value, **options)
        score = metric.corpus_score(predictions, streams)
        plain = BLEU(tokenize=tokenizer, smooth_method="none", **options).corpus_score(predictions, streams)
        values.append({"tokenizer": tokenizer, "smoothing": smoothing, "smoothing_value": smoothing_value, **options,
                       "score": score.score, "precisions": score.precisions, "matches": plain.counts, "totals": plain.totals,
                       "brevity_penalty": score.bp, "lengths": [score.sys_len, score.ref_len],
                       "signature": str(metric.get_signature())})
    return values


def rouge(predictions, references):
    values = {}
    for stemmer in (False, True):
        scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"], use_stemmer=stemmer)
        scores = [scorer.score_multi(targets, said) for said, targets in zip(predictions, references)]
        for kind in scores[0]:
            means = [sum(score[kind][i] for score in scores) / len(scores) for i in range(3)]
            values[kind + ("/stemmer" if stemmer else "")] = means
    return values


def kinds_of_errors(said, right):
    """The way with the fewest errors and, of several, the fewest substitutions: [insertions, deletions, substitutions]."""
    table = {(0, 0): (0, 0, 0, 0)}
    for i in range(len(right) + 1):
        for j in range(len(said) + 1):
            ways = []
            if i > 0:
                errors, replaced, put_in, left_out = table[i - 1, j]
                ways.append((errors + 1, replaced, put_in, left_out + 1))
            if j > 0:
                errors, replaced, put_in, left_out = table[i, j - 1]
                ways.append((errors + 1, replaced, put_in + 1, left_out))
            if i > 0 and j > 0:
                errors, replaced, put_in, left_out = table[i - 1, j - 1]
                wrong = int(said[j - 1] != right[i - 1])
                ways.append((errors + wrong, replaced + wrong, put_in, left_out))
            if ways:
                table[i, j] = min(ways)
    errors, replaced, put_in, left_out = table[len(right), len(said)]
    return [put_in, left_out, replaced]


def errors(predictions, targets):
    values = {"distances": [_edit_distance(list(said), list(right)) for said, right in zip(predictions, targets)],
              "word_kinds": [kinds_of_errors(said.split(), right.split()) for said, right in zip(predictions, targets)],
              "character_kinds": [kinds_of_errors(said, right) if len(said) + len(right) < 120 else None
                                  for said, right in zip(predictions, targets)]}
    if any(targets):
        values["cer"] = float(char_error_rate(predictions, targets))
    if any(target.split() for target in targets):
        values["wer"] = float(word_error_rate(predictions, targets))
    if max(len(each) for each in predictions + targets) < 25:
        values["edit_distance"] = float(edit_distance(predictions, targets))
    return values


def exact_match(predictions, references):
    said = [{"prediction_text": each, "id": str(i)} for i, each in enumerate(predictions)]
    right = [{"answers": {"answer_start": [0], "text": each}, "id": str(i)} for i, each in enumerate(references)]
    return {"normalized": float(squad(said, right)["exact_match"]) / 100,
            "bytes": sum(each in several for each, several in zip(predictions, references)) / len(predictions)}


def parts(random, count):
    texts = [text(random, 6) for _ in range(count)] + [characters(random, random.randint(1, 12)) for _ in range(count)]
    tokenizers = {name: BLEU(tokenize=name).tokenizer for name in ("13a", "intl", "char", "zh", "none")}
    stems = PorterStemmer()
    letters = "aeiouybcdfglmnprstvwxz"
    words = IRREGULAR + ["".join(random.choice(letters) for _ in range(random.randint(1, 5))) + random.choice(SUFFIXES) +
                         random.choice(["", "", random.choice(SUFFIXES)]) for _ in range(8 * count)]
    return {"family": "parts", "texts": [{"text": each, "lower": each.lower(), "split": each.split(), "stripped": each.strip(),
                                          "rstripped": each.rstrip(), "squad": _normalize_text(each),
                                          "tokens": {name: use(each).split() for name, use in tokenizers.items()}}
                                         for each in texts],
            "stems": [[word, stems.stem(word)] for word in words]}


def long_pairs(random, lengths):
    made = []
    for length in lengths:
        original = [random.choice("abcd\u00e9\u4e2d\U0001f600") for _ in range(length)]
        other = [c for c in original if random.random() > 0.1]
        for _ in range(length // 10):
            other.insert(random.randint(0, len(other)), random.choice("abxy"))
        made.append(["".join(other), "".join(original), _edit_distance(other, original)])
    return {"family": "long", "pairs": made}


def problems(random, few):
    made = [parts(random, 10 if few else 120),
            long_pairs(random, (1, 63, 64, 65, 130) if few else (1, 2, 62, 63, 64, 65, 66, 127, 128, 129, 200, 300, 400))]
    for _ in range(1 if few else 4):
        for case in CASES:
            predictions, references = pairs(random, case)
            targets = [each[0] for each in references]
            made.append({"family": "pairs", "case": case, "predictions": predictions, "references": references,
                         "bleu": bleu(random, predictions, references), "rouge": rouge(predictions, references),
                         "errors": errors(predictions, targets), "exact_match": exact_match(predictions, references)})
    return made
