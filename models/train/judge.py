"""What a run is judged by while it trains: bits per byte of held-out rows at every exit, and whether far text is read."""
import math

import numpy as np
import torch
import torch.distributed as dist

from batches import split_rows


class Judge:
    """Holds the held-out rows; every rank calls the same methods at the same time."""

    def __init__(self, net, weights, sizes, batch, depths, rank, world, device):
        """sizes: bytes that each token spells, 0 for special ones; batch: rows at once; depths: exits 1..depths."""
        self.net, self.weights, self.sizes, self.batch, self.depths = net, weights, sizes, batch, depths
        self.rank, self.world, self.device = rank, world, device

    def losses(self, rows):
        """For each exit the nats of every token [B * T]; then targets and loss weights."""
        ids, targets, w = split_rows(torch.from_numpy(rows.astype(np.int64)), self.device)
        leaves = self.weights.leaves
        # With gradients on, the compiled graphs of training are reused; the graph is dropped unused.
        states = self.net.states(leaves, ids, self.depths)
        nll = [self.net.head(h.detach().requires_grad_(), leaves["norm"][self.net.s.row(r)], leaves["embed"], targets, w)[1]
               for r, h in enumerate(states)]
        return nll, targets, w

    def bits_per_byte(self, rows, quantised, batch=None, first=0):
        """At exits 1..depths over held-out rows [N, T + 1]; special tokens and positions before `first` do not count."""
        self.weights.refresh(quantised)
        batch = batch or self.batch
        sums = torch.zeros(self.depths + 1, dtype=torch.float64, device=self.device)
        for at in range(self.rank * batch, len(rows) - batch + 1, self.world * batch):
            nll, targets, _ = self.losses(rows[at:at + batch])
            spell = self.sizes[targets]
            spell[:, :first] = 0
            counted = (spell > 0).flatten()
            sums[-1] += spell.sum()
            for x, each in enumerate(nll):
                sums[x] += each[counted].double().sum()
        if dist.is_initialized():
            dist.all_reduce(sums)
        return [round((s / sums[-1] / math.log(2)).item(), 4) for s in sums[:-1]]

    def copies(self, rows):
        """Does far attention work? Held-out text of a quarter row, repeated four times: at each exit, mean nats of the
        first copy and of the last. A model that sees only its 64-key window cannot read the copies off."""
        quarter = (rows.shape[1] - 1) // 4
        tiled = np.concatenate([np.tile(rows[:self.batch, :quarter], (1, 4)), rows[:self.batch, :1]], 1)
        nll, targets, w = self.losses(tiled)
        nll = [(each * (w.flatten() == 1)).view_as(targets) for each in nll]
        return [[round(part.mean().item(), 3) for part in (each[:, :quarter], each[:, -quarter:-1])] for each in nll]
