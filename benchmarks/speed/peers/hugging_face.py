"""Hugging Face Trainer: one epoch of head training at a time; prints one JSON line."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from benchmarks.speed.images import NUM_CLASSES, parted
from benchmarks.speed.plain import Photos

_BATCH = 32


class _Network(nn.Module):
    """What Trainer wants: a loss and logits by name; the frozen backbone stays in eval mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        children: Any = network
        self.backbone, self.head = children[0], children[1]

    def train(self, mode: bool = True) -> "_Network":
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            features = self.backbone(pixel_values)
        logits = self.head(features)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class _Named(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, photos: Photos) -> None:
        self._photos = photos

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, number: int) -> dict[str, Any]:
        pixels, label = self._photos[number]
        return {"pixel_values": pixels, "labels": label}


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield an epoch with its evaluation, each by a trainer of its own."""
    torch.set_num_threads(options.threads)
    network = _Network(networks.with_head(options.backbone, options.weights, NUM_CLASSES))
    train, held_out = (_Named(Photos(one, options.backbone)) for one in parted(options.photos))
    settings = TrainingArguments(
        output_dir=str(options.work / "trainer"),
        num_train_epochs=1,
        per_device_train_batch_size=_BATCH,
        per_device_eval_batch_size=_BATCH,
        dataloader_num_workers=2,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    for _ in range(options.repeats):
        trainer = Trainer(network, settings, train_dataset=train, eval_dataset=held_out)
        with options.timed() as done:
            trainer.train()
        yield done


if __name__ == "__main__":
    main(measure)
