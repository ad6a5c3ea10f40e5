import torch

from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import RESERVE, LineageImages, TrainingSet


class Drawn:
    """A reserve whose image r is filled with 100 + r."""

    labels = torch.arange(10, dtype=torch.int16)

    def read(self, rows):
        return (100 + rows).to(torch.uint8).view(-1, 1, 1, 1)


def numbered(start, count):
    values = torch.arange(start, start + count)
    return Images(values.to(torch.uint8).view(-1, 1, 1, 1), values.to(torch.int16))


def test_a_training_set_is_gathered_in_its_own_order_from_everywhere():
    archive = LineageImages(numbered(0, 5), Drawn())
    archive.append(numbered(10, 5))
    chosen = TrainingSet(
        torch.tensor([1, RESERVE, 0, 1, 0], dtype=torch.int16),
        torch.tensor([4, 2, 3, 0, 0], dtype=torch.int32),
    )
    images = archive.gather(chosen)
    assert images.pixels.flatten().tolist() == [14, 102, 3, 10, 0]
    assert images.labels.tolist() == [14, 2, 3, 10, 0]
    assert torch.equal(archive.labels(chosen), images.labels)
    assert [archive.size(g) for g in (RESERVE, 0, 1)] == [10, 5, 5]
