"""Networks and trainings that several test files use."""

from model_examples import custom_spec, split

EMPTY = split(0, 0)
SMALL = {
    "plain": custom_spec("all_convolutional", width=8),
    "batch normalisation": custom_spec("depthwise_separable", width=4),
    "dropout": custom_spec("flattened", width=4),
}
ALL = {"flip": True, "crop": 2, "rotation": 20}
