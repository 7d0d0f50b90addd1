"""Makes int8.tflite of the base that make_files.py made for a study: TensorFlow's full integer quantization.

It runs where TensorFlow is installed, which has no place beside this project's packages; make_files.py says how.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def network(file, shape):
    """The base in Keras: channels last, its convolutions' padding written out. `shape` is that of an image."""
    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Input(shape)])
    arrays = []
    for number, (stride, padding) in enumerate(zip(file["strides"], file["paddings"], strict=True)):
        # torch has (out, in, height, width).
        weight = file[f"{number}.weight"].transpose(2, 3, 1, 0)
        if padding:
            model.add(layers.ZeroPadding2D(int(padding)))
        model.add(layers.Conv2D(weight.shape[-1], weight.shape[0], strides=int(stride), activation="relu"))
        arrays += [weight, file[f"{number}.bias"]]
    # Where one place is left of the image, Flatten has one order.
    model.add(layers.Flatten() if model.output_shape[1:3] == (1, 1) else layers.GlobalAveragePooling2D())
    last = len(file["strides"])
    model.add(layers.Dense(len(file[f"{last}.bias"])))
    model.set_weights([*arrays, file[f"{last}.weight"].T, file[f"{last}.bias"]])
    return model


def main():
    folder = Path("data") / sys.argv[1]
    with np.load(folder / "for_tensorflow.npz") as file:
        images = file["images"].transpose(0, 2, 3, 1)
        model = network(file, images.shape[1:])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
