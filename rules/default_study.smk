# The default study; of a file that is not YAML Snakemake names neither file nor line, nor do files of --configfile, which
# it reads before any rule.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(str(workflow.current_basedir)).parent / "workflow_scripts"))

from squeezeproof.study.errors import ConfigError
from squeezeproof.study.files import read_file

try:
    # Where this workflow is a module with a config, the file is that of another workflow.
    if Path("config.yaml").is_file() and not workflow.modifier.skip_configfile:
        read_file("config.yaml")
except ConfigError as error:
    raise WorkflowError(str(error)) from None


configfile: "config.yaml"
