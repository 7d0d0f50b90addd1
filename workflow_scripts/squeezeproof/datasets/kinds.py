"""One loader per kind of data set: settings -> (train images, labels), (test images, labels), class names.

Images are uint8 [N, C, H, W], those of a folder Rows (store.rows); labels are int64 [N].
"""

from squeezeproof.entries.registry import Functions, datasets

LOADERS = Functions(datasets())
