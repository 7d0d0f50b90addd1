"""Where every file of a study lies; standard library only.

A name given to a function may be a wildcard of Snakemake, such as "{dataset}".
"""

SHARD = "{attack}.shard{shard}of{shards}"


def prepared(key: str, split: str) -> str:
    """A split of a prepared data set; `key` is its Dataset.key, and studies share what they have in common."""
    return f"data/prepared/{key}/{split}.safetensors"


def checksum(path: str) -> str:
    """The file beside a CSV file that tells whether it was altered (store.csvs)."""
    return f"{path}.sha256"


class Paths:
    """The files under `results` of the study of a name."""

    def __init__(self, study: str) -> None:
        self.results = f"results/{study}"

    def model(self, dataset: str, model: str) -> str:
        return f"{self.results}/models/{dataset}/{model}.safetensors"

    def support(self, dataset: str, architecture: str) -> str:
        """What a network does not support, as its untrained weights tell."""
        return f"{self.results}/support/{dataset}/{architecture}.json"

    def history(self, dataset: str, model: str) -> str:
        """The course of a model's training."""
        return f"{self.results}/models/{dataset}/{model}.history.csv"

    def card(self, dataset: str, model: str) -> str:
        """What a compressed model is and withstands, to be shipped beside it."""
        return f"{self.results}/models/{dataset}/{model}.model_card.md"

    def benchmark_summary(self) -> str:
        """The study for programs."""
        return f"{self.results}/benchmark.json"

    def adversarial_set(self, dataset: str, source: str, attack: str) -> str:
        """An adversarial set, or with SHARD for the attack one of its shards."""
        return f"{self.results}/adversarial/{dataset}/{source}/{attack}.safetensors"

    def fitted(self, dataset: str, source: str, attack: str) -> str:
        """What an attack learnt from a source, for the shards of its set."""
        return f"{self.results}/adversarial/{dataset}/{source}/{attack}.fitted.safetensors"

    def predictions(self, dataset: str, target: str, source: str) -> str:
        return f"{self.results}/predictions/{dataset}/{target}/{source}.safetensors"

    def int8_predictions(self, dataset: str, target: str, source: str) -> str:
        """Predictions of the int8 model that is deployed for a target."""
        return f"{self.results}/predictions_int8/{dataset}/{target}/{source}.safetensors"

    def int8_itself(self, dataset: str, model: str) -> str:
        """Predictions of the int8 model that is deployed for a model on what was crafted on it itself."""
        return f"{self.results}/predictions_int8/{dataset}/{model}/itself.safetensors"

    def int8_set(self, dataset: str, model: str, attack: str) -> str:
        """An adversarial set that was crafted on the int8 model that is deployed for a model."""
        return f"{self.results}/adversarial_int8/{dataset}/{model}/{attack}.safetensors"

    def sweep(self, dataset: str, source: str, sweep: str) -> str:
        return f"{self.results}/sweeps/{dataset}/{source}/{sweep}.safetensors"

    def features(self, dataset: str, model: str, features: str) -> str:
        return f"{self.results}/features/{dataset}/{model}/{features}.safetensors"

    def tsne(self, dataset: str, model: str, features: str) -> str:
        """Coordinates of the features in the plane."""
        return f"{self.results}/features/{dataset}/{model}/{features}.tsne.csv"

    def export(self, dataset: str, model: str, ending: str) -> str:
        return f"{self.results}/exports/{dataset}/{model}.{ending}"

    def export_metadata(self, dataset: str, model: str, ending: str) -> str:
        return f"{self.export(dataset, model, ending)}.json"

    def times(self, dataset: str) -> str:
        """Raw times of the models of a data set."""
        return f"{self.results}/latency/{dataset}.csv"

    def machine(self, dataset: str) -> str:
        """What they were measured on."""
        return f"{self.results}/latency/{dataset}.machine.json"

    def findings(self, dataset: str, model: str, kind: str) -> str:
        """Findings of the audit on one model: of the kind `sets`, `probe`, `int8` or `int8_sets`."""
        return f"{self.results}/audit/{dataset}/{model}.{kind}.csv"

    def data_findings(self, dataset: str) -> str:
        """Findings of the audit on a data set."""
        return f"{self.results}/audit/{dataset}/data.csv"

    def audit_passed(self) -> str:
        return f"{self.results}/audit/passed.txt"

    def table(self, name: str, ending: str = "csv") -> str:
        return f"{self.results}/tables/{name}.{ending}"

    def figure(self, name: str, ending: str = "svg") -> str:
        return f"{self.results}/figures/{name}.{ending}"

    def page(self, name: str) -> str:
        return f"{self.results}/{name}.html"

    def replacement(self, dataset: str, model: str) -> str:
        """The page on whether a compressed model may replace its base."""
        return f"{self.results}/replacement/{dataset}/{model}.html"

    def log(self, rule: str, *names: str) -> str:
        """The log of a job of a rule, which its names tell from the rule's others."""
        return f"{self.results}/logs/{'/'.join([rule, *names])}.log"

    def benchmark(self, rule: str, *names: str) -> str:
        return f"{self.benchmarks()}/{'/'.join([rule, *names])}.tsv"

    def benchmarks(self) -> str:
        """The folder of all benchmarks."""
        return f"{self.results}/benchmarks"
