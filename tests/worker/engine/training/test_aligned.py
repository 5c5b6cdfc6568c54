"""The objective over two domains: who is asked what, and which way each gradient goes."""

import pytest
import torch
from torch import nn

from worker.engine.domain.reversal import ramp
from worker.engine.training.aligned import CoralTerm, DomainTerm, MmdTerm, known_loss
from worker.engine.training.objective import soft_targets


def test_only_known_targets_are_asked_for() -> None:
    """Unlabelled images would pull the loss to nothing, or to a class."""
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 1])
    targets = torch.cat([soft_targets(labels, 3, 0.1), torch.zeros(2, 3)])
    expected = nn.functional.cross_entropy(logits[:3], labels, label_smoothing=0.1)
    assert torch.allclose(known_loss(logits, targets), expected)
    assert known_loss(logits, torch.zeros(5, 3)).item() == 0


def test_the_discriminator_learns_what_features_unlearn() -> None:
    """Features would help the discriminator, or it would not learn at all."""
    torch.manual_seed(0)
    term = DomainTerm(4, 0.5)
    source, target = torch.randn(6, 4).requires_grad_(), torch.randn(3, 4)
    loss = term(source, target, 0.3)
    found = torch.autograd.grad(loss, [source, *term.parameters()])
    logits = [term.discriminator(rows)[:, 0] for rows in (source, target)]
    plain = (
        nn.functional.softplus(-logits[0]).mean() + nn.functional.softplus(logits[1]).mean()
    ) / 2
    expected = torch.autograd.grad(plain, [source, *term.parameters()])
    assert torch.allclose(loss, plain)
    assert torch.allclose(found[0], -0.5 * ramp(0.3) * expected[0], atol=1e-7)
    assert all(map(torch.allclose, found[1:], expected[1:]))


@pytest.mark.parametrize("term", [CoralTerm(2.0), MmdTerm(2.0), DomainTerm(4, 1.0)])
def test_one_domain_alone_gives_nothing(term: nn.Module) -> None:
    """A part of a batch without source images would end the training."""
    rows = torch.randn(5, 4)
    assert term(rows, rows[:0], 0.5).item() == 0
    assert term(rows[:0], rows, 0.5).item() == 0
