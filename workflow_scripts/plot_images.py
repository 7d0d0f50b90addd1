"""Rule plot_images: the adversarial sets of one source -> single images, clean, adversarial and the perturbation."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.errors import InputError
from squeezeproof.figures.images import adversarial_panels, read_panels
from squeezeproof.figures.style import save
from squeezeproof.jobs import job

with job(snakemake):
    files, (dataset, source) = snakemake.input, (snakemake.wildcards.dataset, snakemake.wildcards.base)
    failed = read_audit(files.audit).failed
    attacks = zip(snakemake.params.attacks, files.sets, strict=True)
    sound = [path for attack, path in attacks if not failed(dataset, source, source, attack)]
    if not sound:
        raise InputError(f"no set of {source} on {dataset} passed the audit; tables/audit.csv says why and what to do")
    save(adversarial_panels(read_panels(sound, files.test), dataset, source), snakemake.output)
