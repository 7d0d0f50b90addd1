"""Makes the TFLite files beside it, by TensorFlow's converter: a small network of the digits in every kind of numbers,
the same with its weights in variables, and one with attention, untrained.

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


def attention():
    """A Keras network in which 16 tokens see each other."""
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    image = layers.Input((8, 8, 1))
    tokens = layers.Reshape((16, 12))(layers.Conv2D(12, 2, strides=2)(image))
    tokens = layers.Add()([tokens, layers.MultiHeadAttention(2, 6)(tokens, tokens)])
    tokens = layers.GlobalAveragePooling1D()(layers.Dense(24, activation="relu")(tokens))
    return tf.keras.Model(image, layers.Dense(10)(tokens))


class Served(tf.Module):
    """A network as a function, of which the converter does not make constants."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32)])
    def serve(self, image):
        return {"scores": self.model(image)}


def with_variables(model):
    """The bytes of a file that nobody tells the values of its weights."""
    served = Served(model)
    return tf.lite.TFLiteConverter.from_concrete_functions([served.serve.get_concrete_function()], served).convert()


def converted(model, images=None, integers=None, dynamic=False, half=False, activations=8):
    """The bytes of a TFLite file; with `images` all its numbers are integers, its inputs of the type `integers`."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if images is not None or dynamic or half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if half:
        converter.target_spec.supported_types = [tf.float16]
    if images is not None:
        sets = tf.lite.OpsSet
        wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8 if activations == 8 else wide]
        converter.inference_input_type = converter.inference_output_type = integers
    return converter.convert()


def main():
    model, pixels = network()
    softmax = tf.keras.Sequential([model, tf.keras.layers.Softmax()])
    calibration = pixels[:200]
    files = {
        "float": converted(model),
        "dynamic": converted(model, dynamic=True),
        "float16": converted(model, half=True),
        "int16": converted(model, calibration, tf.float32, activations=16),
        "int8": converted(model, calibration, tf.int8),
        "uint8": converted(model, calibration, tf.uint8),
        "softmax": converted(softmax),
        "softmax_int8": converted(softmax, calibration, tf.int8),
        "attention": converted(attention()),
        "variables": with_variables(model),
    }
    for name, content in files.items():
        (HERE / f"{name}.tflite").write_bytes(content)
    np.save(HERE / "logits.npy", model.predict(pixels[-50:], verbose=0))


if __name__ == "__main__":
    main()
