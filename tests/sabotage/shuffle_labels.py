"""IPython start-up file: every `Splits` that the package makes has its training labels permuted.

Inputs, class proportions, validation and test labels stay as they are, so that nothing can be learned from
the labels any more and nothing else is broken. Each `Splits` gets a permutation of its own, from one seeded
generator: one for all would, by chance, keep the same few labels right in every seed's small subset.
"""


def _shuffle_labels():
    import dataclasses

    import torch

    from transferbook.data import datasets

    construct = datasets.Splits.__init__
    generator = torch.Generator().manual_seed(0)

    def construct_shuffled(self, *args, **kwargs):
        construct(self, *args, **kwargs)
        order = torch.randperm(len(self.train), generator=generator)
        shuffled = dataclasses.replace(self.train, labels=self.train.labels[order])
        object.__setattr__(self, "train", shuffled)

    datasets.Splits.__init__ = construct_shuffled


_shuffle_labels()
del _shuffle_labels
