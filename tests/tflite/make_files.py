"""Makes the TFLite files beside it, by TensorFlow's converter: a small network of the digits in every kind of numbers.

    python make_files.py      # made by tensorflow-cpu 2.21.0 and scikit-learn 1.9.1, in an environment of their own

The network takes pixels in [0, 1], channels last. `logits.npy` has what it gives to the last 50 digits in TensorFlow.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

HERE = Path(__file__).parent


def network():
    """A Keras network trained on the first 1,400 digits, and all digits as pixels in [0, 1]."""
    tf.keras.utils.set_random_seed(0)
    digits = load_digits()
    pixels = (digits.images / 16).astype(np.float32)[..., None]
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    model.compile(tf.keras.optimizers.Adam(0.01), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(pixels[:1400], digits.target[:1400], batch_size=64, epochs=15, verbose=0)
    return model, pixels


def converted(model, images=None, integers=None, dynamic=False):
    """The bytes of a TFLite file; with `images` all its numbers are integers, its inputs of the type `integers`."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if images is not None or dynamic:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if images is not None:
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = integers
    return converter.convert()


def main():
    model, pixels = network()
    softmax = tf.keras.Sequential([model, tf.keras.layers.Softmax()])
    calibration = pixels[:200]
    files = {
        "float": converted(model),
        "dynamic": converted(model, dynamic=True),
        "int8": converted(model, calibration, tf.int8),
        "uint8": converted(model, calibration, tf.uint8),
        "softmax": converted(softmax),
        "softmax_int8": converted(softmax, calibration, tf.int8),
    }
    for name, content in files.items():
        (HERE / f"{name}.tflite").write_bytes(content)
    np.save(HERE / "logits.npy", model.predict(pixels[-50:], verbose=0))


if __name__ == "__main__":
    main()
