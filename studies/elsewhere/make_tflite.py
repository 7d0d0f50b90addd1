"""Makes data/elsewhere/int8.tflite of the base that make_files.py made: TensorFlow's full integer quantization.

It runs where TensorFlow is installed, which has no place beside this project's packages; make_files.py says how.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path("data/elsewhere")


def network(weights):
    """The base in Keras: channels last, its convolutions' padding written out."""
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.ZeroPadding2D(3),
            layers.Conv2D(32, 8, strides=2, activation="relu"),
            layers.Conv2D(64, 6, strides=2, activation="relu"),
            layers.Conv2D(64, 5, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    # What is left of the image is one place, so that Flatten has one order. torch has (out, in, height, width).
    order = {4: (2, 3, 1, 0), 2: (1, 0)}
    model.set_weights([value.transpose(order[value.ndim]) if value.ndim > 1 else value for value in weights.values()])
    return model


def main():
    with np.load(FOLDER / "for_tensorflow.npz") as file:
        weights = {name: file[name] for name in file.files if name != "images"}
        images = file["images"].transpose(0, 2, 3, 1)
    converter = tf.lite.TFLiteConverter.from_keras_model(network(weights))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (FOLDER / "int8.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
