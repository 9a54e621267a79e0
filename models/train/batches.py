"""Batches of training rows for one GPU: read epoch after epoch as rows.py finishes them, split into inputs and targets."""
import os
import sys
import time

import numpy as np
import torch

import bpe

UNWEIGHTED = (bpe.FILE_SEP, bpe.FIM_PREFIX, bpe.FIM_SUFFIX, bpe.FIM_MIDDLE, bpe.PAD)


class Rows:
    """Batches of this rank, epoch after epoch, as rows.py finishes them."""

    def __init__(self, folder, rank, world, batch, log):
        self.folder, self.rank, self.world, self.batch, self.log = folder, rank, world, batch, log
        self.epoch, self.at, self.rows = -1, 0, None

    def next(self):
        while self.rows is None or self.at + self.batch > len(self.rows):
            self.open_next()
        out = self.rows[self.at:self.at + self.batch]
        self.at += self.batch
        return torch.from_numpy(out.astype(np.int64))

    def open_next(self):
        """Waits for the next epoch; after 60 s without one, the last is read again rather than stopping the run."""
        path = os.path.join(self.folder, f"epoch-{self.epoch + 1:03d}.npy")
        since = time.time()
        while not os.path.exists(path):
            if self.rows is not None and time.time() - since > 60:
                self.log(event="epoch repeated", epoch=self.epoch)
                self.at = 0
                return
            if time.time() - since > 600:
                sys.exit(f"no {path} after 600 s: is rows.py running?")
            time.sleep(0.05)
        everything = np.load(path, mmap_mode="r")
        usable = len(everything) // self.world * self.world
        self.rows, self.epoch, self.at = everything[:usable][self.rank::self.world], self.epoch + 1, 0
        self.log(event="epoch", epoch=self.epoch, rows=len(everything), waited=round(time.time() - since, 1))


def split_rows(rows, device, middle_weight=1.0, end_weight=1.0):
    """(inputs, targets, loss weights) on the device, from rows [B, T + 1]; a middle is what is asked for in earnest."""
    rows = rows.to(device, non_blocking=True)
    ids, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    weights = torch.ones_like(targets, dtype=torch.float32)
    inside = (ids == bpe.FIM_MIDDLE).cumsum(1) > (ids == bpe.FIM_END).cumsum(1)
    weights[inside] = middle_weight
    weights[targets == bpe.FIM_END] = end_weight
    for t in UNWEIGHTED:
        weights[targets == t] = 0.0
    return ids, targets, weights
