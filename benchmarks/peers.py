"""Other libraries' attacks behind one signature: (model, inputs, labels, settings) -> adversarial inputs.

Settings are ours (docs/config.md); each adapter hands them over under the library's names, every one explicitly. A
library that is not installed has no entry in PEERS.
"""

import sys
import types
import warnings

import torch

PEERS = {}
LIBRARIES = {"torchattacks", "foolbox", "ART", "AutoAttack", "adv-lib"}


def peer(library, *methods):
    """Register an adapter for the given methods of ours."""

    def register(function):
        for method in methods:
            PEERS.setdefault(method, {})[library] = function
        return function

    return register


def _big(norm):
    return {"linf": "Linf", "l2": "L2"}[norm]


def _classes(model, inputs):
    with torch.no_grad():
        return model(inputs[:1]).shape[1]


try:
    import torchattacks
except ImportError:
    pass
else:

    @peer("torchattacks", "fgsm")
    def _(model, inputs, labels, s):
        return torchattacks.FGSM(model, eps=s["eps"])(inputs, labels)

    @peer("torchattacks", "bim", "pgd")
    def _(model, inputs, labels, s):
        start = s.get("random_start", False)
        attack = torchattacks.PGD(model, eps=s["eps"], alpha=s["alpha"], steps=s["steps"], random_start=start)
        return attack(inputs, labels)

    @peer("torchattacks", "mifgsm")
    def _(model, inputs, labels, s):
        attack = torchattacks.MIFGSM(model, eps=s["eps"], alpha=s["alpha"], steps=s["steps"], decay=s["decay"])
        return attack(inputs, labels)

    @peer("torchattacks", "difgsm")
    def _(model, inputs, labels, s):
        attack = torchattacks.DIFGSM(
            model, eps=s["eps"], alpha=s["alpha"], steps=s["steps"], decay=s["decay"],
            resize_rate=s["smallest"], diversity_prob=s["probability"],
        )  # fmt: skip
        return attack(inputs, labels)

    @peer("torchattacks", "apgd")
    def _(model, inputs, labels, s):
        loss = {"cross_entropy": "ce", "dlr": "dlr"}[s["loss"]]
        attack = torchattacks.APGD(
            model, norm=_big(s["norm"]), eps=s["eps"], steps=s["steps"], n_restarts=s["restarts"], loss=loss
        )
        return attack(inputs, labels)

    @peer("torchattacks", "apgd_t")
    def _(model, inputs, labels, s):
        attack = torchattacks.APGDT(
            model, norm=_big(s["norm"]), eps=s["eps"], steps=s["steps"], n_restarts=s["restarts"],
            n_classes=s["targets"] + 1,
        )  # fmt: skip
        return attack(inputs, labels)

    @peer("torchattacks", "fab", "fab_t")
    def _(model, inputs, labels, s):
        attack = torchattacks.FAB(
            model, norm=_big(s["norm"]), eps=s["eps"], steps=s["steps"], n_restarts=s["restarts"],
            alpha_max=s["alpha_max"], eta=s["eta"], beta=s["beta"], multi_targeted="targets" in s,
            n_classes=s.get("targets", 9) + 1,
        )  # fmt: skip
        return attack(inputs, labels)

    @peer("torchattacks", "square")
    def _(model, inputs, labels, s):
        attack = torchattacks.Square(
            model, norm=_big(s["norm"]), eps=s["eps"], n_queries=s["queries"], n_restarts=s["restarts"],
            p_init=s["p_init"], loss="margin", resc_schedule=not s["reference"],
        )  # fmt: skip
        return attack(inputs, labels)

    @peer("torchattacks", "autoattack")
    def _(model, inputs, labels, s):
        # The parts of torchattacks.AutoAttack make 10 steps where the authors' make 100.
        classes, shared = _classes(model, inputs), {"norm": _big(s["norm"]), "eps": s["eps"]}
        parts = [
            torchattacks.APGD(model, steps=100, **shared),
            torchattacks.APGDT(model, steps=100, n_classes=classes, **shared),
            torchattacks.FAB(model, steps=100, multi_targeted=True, n_classes=classes, **shared),
            torchattacks.Square(model, n_queries=5000, **shared),
        ]
        return torchattacks.MultiAttack(parts)(inputs, labels)

    @peer("torchattacks", "deepfool")
    def _(model, inputs, labels, s):
        return torchattacks.DeepFool(model, steps=s["steps"], overshoot=s["overshoot"])(inputs, labels)


try:
    import foolbox
except ImportError:
    pass
else:

    def _foolbox(model, inputs, labels, attack, eps):
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=inputs.device)
        _, clipped, _ = attack(wrapped, inputs, labels, epsilons=eps)
        return clipped

    @peer("foolbox", "fgsm")
    def _(model, inputs, labels, s):
        return _foolbox(model, inputs, labels, foolbox.attacks.LinfFastGradientAttack(), s["eps"])

    @peer("foolbox", "bim", "pgd")
    def _(model, inputs, labels, s):
        attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
            abs_stepsize=s["alpha"], steps=s["steps"], random_start=s.get("random_start", False)
        )
        return _foolbox(model, inputs, labels, attack, s["eps"])

    @peer("foolbox", "deepfool")
    def _(model, inputs, labels, s):
        attack = foolbox.attacks.L2DeepFoolAttack(
            steps=s["steps"], candidates=s["candidates"], overshoot=s["overshoot"], loss="logits"
        )
        return _foolbox(model, inputs, labels, attack, None)

    @peer("foolbox", "cw")
    def _(model, inputs, labels, s):
        attack = foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=s["searches"], steps=s["steps"], stepsize=s["learning_rate"],
            confidence=s["confidence"], initial_const=s["initial_c"],
        )  # fmt: skip
        return _foolbox(model, inputs, labels, attack, None)


try:
    # ART warns at import that it found no TensorFlow or scikit-learn models to wrap.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier
except ImportError:
    pass
else:

    def _art(model, inputs, labels):
        return PyTorchClassifier(
            model, torch.nn.CrossEntropyLoss(), tuple(inputs.shape[1:]), _classes(model, inputs),
            clip_values=(0.0, 1.0), device_type=inputs.device.type,
        )  # fmt: skip

    def _generate(attack, inputs, labels):
        points = attack.generate(inputs.cpu().numpy(), y=labels.cpu().numpy())
        return torch.from_numpy(points).to(inputs.device, torch.float32)

    @peer("ART", "fgsm")
    def _(model, inputs, labels, s):
        attack = evasion.FastGradientMethod(_art(model, inputs, labels), eps=s["eps"], batch_size=len(inputs))
        return _generate(attack, inputs, labels)

    @peer("ART", "bim", "pgd")
    def _(model, inputs, labels, s):
        attack = evasion.ProjectedGradientDescentPyTorch(
            _art(model, inputs, labels), eps=s["eps"], eps_step=s["alpha"], max_iter=s["steps"],
            num_random_init=int(s.get("random_start", False)), batch_size=len(inputs), verbose=False,
        )  # fmt: skip
        return _generate(attack, inputs, labels)

    @peer("ART", "square")
    def _(model, inputs, labels, s):
        attack = evasion.SquareAttack(
            _art(model, inputs, labels), eps=s["eps"], max_iter=s["queries"], p_init=s["p_init"],
            nb_restarts=s["restarts"], batch_size=len(inputs), verbose=False,
        )  # fmt: skip
        return _generate(attack, inputs, labels)

    @peer("ART", "deepfool")
    def _(model, inputs, labels, s):
        attack = evasion.DeepFool(
            _art(model, inputs, labels), max_iter=s["steps"], epsilon=s["overshoot"], nb_grads=s["candidates"],
            batch_size=len(inputs), verbose=False,
        )  # fmt: skip
        return _generate(attack, inputs, labels)

    @peer("ART", "cw")
    def _(model, inputs, labels, s):
        attack = evasion.CarliniL2Method(
            _art(model, inputs, labels), confidence=s["confidence"], learning_rate=s["learning_rate"],
            binary_search_steps=s["searches"], max_iter=s["steps"], initial_const=s["initial_c"],
            batch_size=len(inputs), verbose=False,
        )  # fmt: skip
        return _generate(attack, inputs, labels)

    @peer("ART", "uap")
    def _(model, inputs, labels, s):
        attack = evasion.UniversalPerturbation(
            _art(model, inputs, labels), attacker="deepfool",
            attacker_params={
                "max_iter": s["deepfool_steps"], "epsilon": s["overshoot"], "nb_grads": s["candidates"],
                "verbose": False,
            },
            delta=1 - s["fooling_rate"], max_iter=s["passes"], eps=s["eps"], norm="inf", batch_size=len(inputs),
            verbose=False,
        )  # fmt: skip
        return _generate(attack, inputs, labels)


try:
    from pyautoattack.autoattack import AutoAttack
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack
except ImportError:
    pass
else:

    @peer("AutoAttack", "apgd")
    def _(model, inputs, labels, s):
        loss = {"cross_entropy": "ce", "dlr": "dlr"}[s["loss"]]
        attack = APGDAttack(
            model, n_iter=s["steps"], norm=_big(s["norm"]), n_restarts=s["restarts"], eps=s["eps"], loss=loss,
            device=inputs.device,
        )  # fmt: skip
        return attack.perturb(inputs, labels)

    @peer("AutoAttack", "apgd_t")
    def _(model, inputs, labels, s):
        attack = APGDAttack_targeted(
            model, n_iter=s["steps"], norm=_big(s["norm"]), n_restarts=s["restarts"], eps=s["eps"],
            n_target_classes=s["targets"], device=inputs.device,
        )  # fmt: skip
        return attack.perturb(inputs, labels)

    @peer("AutoAttack", "fab", "fab_t")
    def _(model, inputs, labels, s):
        attack = FABAttack_PT(
            model, norm=_big(s["norm"]), n_restarts=s["restarts"], n_iter=s["steps"], eps=s["eps"],
            alpha_max=s["alpha_max"], eta=s["eta"], beta=s["beta"], targeted="targets" in s,
            n_target_classes=s.get("targets", 9), device=inputs.device,
        )  # fmt: skip
        return attack.perturb(inputs, labels)

    @peer("AutoAttack", "square")
    def _(model, inputs, labels, s):
        attack = SquareAttack(
            model, norm=_big(s["norm"]), n_queries=s["queries"], eps=s["eps"], p_init=s["p_init"],
            n_restarts=s["restarts"], resc_schedule=not s["reference"], device=inputs.device,
        )  # fmt: skip
        return attack.perturb(inputs, labels)

    @peer("AutoAttack", "autoattack")
    def _(model, inputs, labels, s):
        attack = AutoAttack(model, norm=_big(s["norm"]), eps=s["eps"], device=inputs.device)
        return attack.run_standard_evaluation(inputs, labels, batch_size=len(inputs))[0]


try:
    # adv-lib imports a plotting server that none of these attacks uses.
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))
    import adv_lib.attacks as adv
except ImportError:
    pass
else:
    NORMS = {"linf": float("inf"), "l2": 2}

    @peer("adv-lib", "bim", "pgd")
    def _(model, inputs, labels, s):
        return adv.pgd_linf(
            model, inputs, labels, s["eps"], steps=s["steps"], random_init=s.get("random_start", False),
            restarts=1, absolute_step_size=s["alpha"],
        )  # fmt: skip

    @peer("adv-lib", "apgd")
    def _(model, inputs, labels, s):
        loss = {"cross_entropy": "ce", "dlr": "dlr"}[s["loss"]]
        return adv.apgd(
            model, inputs, labels, eps=s["eps"], norm=NORMS[s["norm"]], n_iter=s["steps"], n_restarts=s["restarts"],
            loss_function=loss,
        )  # fmt: skip

    @peer("adv-lib", "fab")
    def _(model, inputs, labels, s):
        return adv.fab(
            model, inputs, labels, norm=NORMS[s["norm"]], n_iter=s["steps"], α_max=s["alpha_max"], β=s["beta"],
            η=s["eta"], restarts=s["restarts"],
        )  # fmt: skip

    @peer("adv-lib", "deepfool")
    def _(model, inputs, labels, s):
        return adv.df(model, inputs, labels, steps=s["steps"], overshoot=s["overshoot"], norm=NORMS[s["norm"]])

    @peer("adv-lib", "cw")
    def _(model, inputs, labels, s):
        return adv.carlini_wagner_l2(
            model, inputs, labels, confidence=s["confidence"], learning_rate=s["learning_rate"],
            initial_const=s["initial_c"], binary_search_steps=s["searches"], max_iterations=s["steps"],
        )  # fmt: skip
