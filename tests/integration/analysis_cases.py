"""Calls of decomposition, blind source separation and clustering, and of what draws their results."""

import os

import matplotlib.pyplot as plt
import numpy as np
from method_inputs import mask, plus_one


def decomposed(s, **kwargs):
    s.decomposition(output_dimension=3, print_info=False, **kwargs)
    return s


def clustered(s):
    decomposed(s)
    s.cluster_analysis("decomposition", n_clusters=2, random_state=0, n_init=3)
    return s


def number_of_clusters(s):
    return decomposed(s).estimate_number_of_clusters(
        "decomposition", max_clusters=4, metric="elbow", random_state=0, n_init=3
    )


def model_up_to_sign(s):
    """Components are unique up to their sign, so the model made of them is compared."""
    return s.get_decomposition_model(3)


def up_to_sign(signal):
    signal.data = np.abs(np.asarray(signal.data))
    return signal.data


def normalized(s):
    s.normalize_decomposition_components(target="factors")
    return s.get_decomposition_factors()


def undone(s):
    plus_one(s)
    decomposed(s, normalize_poissonian_noise=True)
    s.undo_treatments()
    return s


def separated(s):
    decomposed(s)
    s.blind_source_separation(2, print_info=False, random_state=0)
    return s


def exported(s, name, tmp_path):
    """Names of the files that a method writes."""
    folder = tmp_path / f"{type(s).__name__}"
    folder.mkdir(exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        getattr(s, name)()
    finally:
        os.chdir(before)
    return sorted(path.name for path in folder.iterdir())


def drawn(s, name, **kwargs):
    """Lines and images of the figures that a method draws; components are unique up to their sign."""
    plt.close("all")
    getattr(s, name)(**kwargs)
    axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes]
    lines = [np.abs(np.asarray(line.get_ydata(), dtype=float)) for ax in axes for line in ax.lines]
    images = [np.abs(np.asarray(image.get_array(), dtype=float)) for ax in axes for image in ax.images]
    plt.close("all")
    return lines + images


ANALYSIS = {
    "decomposition": {
        "f_svd": lambda s: model_up_to_sign(decomposed(s)),
        "f_full": lambda s: model_up_to_sign(decomposed(s, svd_solver="full")),
        "f_poisson": lambda s: model_up_to_sign(decomposed(plus_one(s), normalize_poissonian_noise=True)),
        "f_centre": lambda s: model_up_to_sign(decomposed(s, centre="signal")),
        "f_nmf": lambda s: model_up_to_sign(decomposed(s, algorithm="NMF", random_state=0)),
        "f_pca": lambda s: model_up_to_sign(decomposed(s, algorithm="PCA")),
        "f_masks": lambda s: model_up_to_sign(
            decomposed(s, navigation_mask=np.eye(5, 3, dtype=bool), signal_mask=mask().T)
        ),
        "integers": lambda s: decomposed(s),
    },
    "get_decomposition_model": {"f_": lambda s: decomposed(s).get_decomposition_model(2)},
    "get_decomposition_factors": {"f_": lambda s: up_to_sign(decomposed(s).get_decomposition_factors())},
    "get_decomposition_loadings": {"f_": lambda s: up_to_sign(decomposed(s).get_decomposition_loadings())},
    "get_explained_variance_ratio": {"f_": lambda s: decomposed(s, svd_solver="full").get_explained_variance_ratio()},
    "get_scree_plot_data": {"f_": lambda s: decomposed(s, svd_solver="full").get_explained_variance_ratio()},
    "estimate_elbow_position": {"f_": lambda s: int(s.estimate_elbow_position(np.geomspace(1, 1e-4, 8)))},
    "normalize_decomposition_components": {"f_": lambda s: up_to_sign(normalized(decomposed(s)))},
    "reverse_decomposition_component": {
        "f_": lambda s: (decomposed(s), s.reverse_decomposition_component(0), model_up_to_sign(s))[2]
    },
    "undo_treatments": {"f_": lambda s: undone(s)},
    "blind_source_separation": {"f_": lambda s: separated(s).get_bss_loadings().data.shape},
    "get_bss_model": {"f_": lambda s: separated(s).get_bss_model()},
    "get_bss_factors": {"f_": lambda s: separated(s).get_bss_factors().data.shape},
    "get_bss_loadings": {"f_": lambda s: separated(s).get_bss_loadings().data.shape},
    "normalize_bss_components": {"f_": lambda s: (separated(s), s.normalize_bss_components(), s.get_bss_model())[2]},
    "reverse_bss_component": {"f_": lambda s: (separated(s), s.reverse_bss_component(0), s.get_bss_model())[2]},
    "cluster_analysis": {"f_": lambda s: sorted(clustered(s).learning_results.cluster_labels.sum(1))},
    "estimate_number_of_clusters": {
        "f_": lambda s: number_of_clusters(s),
    },
    "get_cluster_labels": {"f_": lambda s: clustered(s).get_cluster_labels().data.sum()},
    "get_cluster_signals": {"f_": lambda s: clustered(s).get_cluster_signals().data.shape},
    "get_cluster_distances": {"f_": lambda s: clustered(s).get_cluster_distances().data.shape},
    "learning_results": {"f_": lambda s: decomposed(s, svd_solver="full").learning_results.explained_variance},
    **{
        name: {"f_": lambda s, name=name: drawn(decomposed(s, svd_solver="full"), name)}
        for name in (
            "plot_cumulative_scree_plot",
            "plot_decomposition_factors",
            "plot_decomposition_loadings",
            "plot_scree_plot",
        )
    },
    **{
        name: {"f_": lambda s, name=name: drawn(clustered(s), name)}
        for name in ("plot_cluster_distances", "plot_cluster_labels", "plot_cluster_signals")
    },
    "plot_cluster_metric": {"f_": lambda s: (number_of_clusters(s), drawn(s, "plot_cluster_metric"))[1]},
    "export_decomposition_results": {
        "f_": lambda s, tmp_path: exported(decomposed(s), "export_decomposition_results", tmp_path)
    },
    "export_cluster_results": {"f_": lambda s, tmp_path: exported(clustered(s), "export_cluster_results", tmp_path)},
}
