"""Where every file of a study lies; standard library only.

A name given to a function may be a wildcard of Snakemake, such as "{dataset}".
"""

SHARD = "{attack}.shard{shard}of{shards}"


def prepared(key, split):
    """A split of a prepared data set; `key` is Dataset.key, and studies share what they have in common."""
    return f"data/prepared/{key}/{split}.safetensors"


def checksum(path):
    """The file beside a CSV file that tells whether it was altered (store.csvs)."""
    return f"{path}.sha256"


class Paths:
    """The files under `results` of the study of a name."""

    def __init__(self, study):
        self.results = f"results/{study}"

    def model(self, dataset, model):
        return f"{self.results}/models/{dataset}/{model}.safetensors"

    def support(self, dataset, architecture):
        """What a network does not support, as its untrained weights tell."""
        return f"{self.results}/support/{dataset}/{architecture}.json"

    def history(self, dataset, model):
        """The course of a model's training."""
        return f"{self.results}/models/{dataset}/{model}.history.csv"

    def card(self, dataset, model):
        """What a compressed model is and withstands, to be shipped beside it."""
        return f"{self.results}/models/{dataset}/{model}.model_card.md"

    def benchmark_summary(self):
        """The study for programs."""
        return f"{self.results}/benchmark.json"

    def adversarial_set(self, dataset, source, attack):
        """An adversarial set, or with SHARD for the attack one of its shards."""
        return f"{self.results}/adversarial/{dataset}/{source}/{attack}.safetensors"

    def fitted(self, dataset, source, attack):
        """What an attack learnt from a source, for the shards of its set."""
        return f"{self.results}/adversarial/{dataset}/{source}/{attack}.fitted.safetensors"

    def predictions(self, dataset, target, source):
        return f"{self.results}/predictions/{dataset}/{target}/{source}.safetensors"

    def int8_predictions(self, dataset, target, source):
        """Predictions of the int8 model that is deployed for a target."""
        return f"{self.results}/predictions_int8/{dataset}/{target}/{source}.safetensors"

    def sweep(self, dataset, source, sweep):
        return f"{self.results}/sweeps/{dataset}/{source}/{sweep}.safetensors"

    def features(self, dataset, model, features):
        return f"{self.results}/features/{dataset}/{model}/{features}.safetensors"

    def tsne(self, dataset, model, features):
        """Coordinates of the features in the plane."""
        return f"{self.results}/features/{dataset}/{model}/{features}.tsne.csv"

    def export(self, dataset, model, ending):
        return f"{self.results}/exports/{dataset}/{model}.{ending}"

    def export_metadata(self, dataset, model, ending):
        return f"{self.export(dataset, model, ending)}.json"

    def times(self, dataset):
        """Raw times of the models of a data set."""
        return f"{self.results}/latency/{dataset}.csv"

    def machine(self, dataset):
        """What they were measured on."""
        return f"{self.results}/latency/{dataset}.machine.json"

    def findings(self, dataset, model, kind):
        """Findings of the audit on one model: of the kind `sets`, `probe` or `int8`."""
        return f"{self.results}/audit/{dataset}/{model}.{kind}.csv"

    def data_findings(self, dataset):
        """Findings of the audit on a data set."""
        return f"{self.results}/audit/{dataset}/data.csv"

    def audit_passed(self):
        return f"{self.results}/audit/passed.txt"

    def table(self, name, ending="csv"):
        return f"{self.results}/tables/{name}.{ending}"

    def figure(self, name, ending="svg"):
        return f"{self.results}/figures/{name}.{ending}"

    def page(self, name):
        return f"{self.results}/{name}.html"

    def replacement(self, dataset, model):
        """The page on whether a compressed model may replace its base."""
        return f"{self.results}/replacement/{dataset}/{model}.html"

    def log(self, rule, *names):
        """The log of a job of a rule, which its names tell from the rule's others."""
        return f"{self.results}/logs/{'/'.join([rule, *names])}.log"

    def benchmark(self, rule, *names):
        return f"{self.benchmarks()}/{'/'.join([rule, *names])}.tsv"

    def benchmarks(self):
        """The folder of all benchmarks."""
        return f"{self.results}/benchmarks"
